/** Shows a view in the place that the document has for it. */
import { type ComponentChild, render } from 'preact'
import '../style/base.css'
import '../style/picture.css'
import '../style/layout.css'
import '../style/lists.css'
import { keepFocus } from './kept-focus.ts'

export function show(view: ComponentChild): void {
  const place = document.getElementById('page')
  if (place === null) throw new Error('the page has no place for itself')
  keepFocus()
  // The static text is for browsers that cannot run this script.
  place.replaceChildren()
  render(view, place)
}
