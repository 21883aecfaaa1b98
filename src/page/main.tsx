/** The web page of GoLooader. It uses the same core as the command line. */
// This import comes first: the other modules need the symbols that it defines.
import './platform/disposables.ts'
import { render } from 'preact'
import { startPage } from './model/start.ts'
import './style/base.css'
import './style/picture.css'
import './style/layout.css'
import './style/lists.css'
import { AppView } from './views/app.tsx'
import { keepFocus } from './views/kept-focus.ts'

const place = document.getElementById('page')
if (place === null) throw new Error('the page has no place for itself')
const { stage, takeOver } = startPage()
keepFocus()
// The static text is for browsers that cannot run this script.
place.replaceChildren()
render(<AppView stage={stage} takeOver={takeOver} />, place)
