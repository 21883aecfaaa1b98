/**
 * Keeps the keyboard focus near the place where it was. When the focused element leaves the page (its file was cleared,
 * or the view changed), a browser clears the focus, and the next Tab starts at the top. This module moves the focus to
 * the replacement: the element that its section names by `data-focus-next`, the next file of the list, the previous
 * one, the heading of the list, or the main content.
 */

/** The focusable candidates after an element, nearest first. */
function placesAfter(element: Element): Element[] {
  const places: Element[] = []
  const item = element.closest('li')
  if (item !== null) {
    const article = item.querySelector('article') ?? item
    places.push(article)
    for (const beside of [item.nextElementSibling, item.previousElementSibling]) {
      if (beside !== null) places.push(beside.querySelector('article') ?? beside)
    }
  }
  const heading = element.closest('section')?.querySelector('h2')
  if (heading) places.push(heading)
  return places
}

/** Focuses an element that Tab does not reach. */
export function focusOn(element: Element | null): void {
  if (!(element instanceof HTMLElement)) return
  if (!element.hasAttribute('tabindex')) element.setAttribute('tabindex', '-1')
  element.focus()
}

/** Watches for lost focus while the page is open. */
export function keepFocus(): void {
  let last: Element | null = null
  let places: Element[] = []
  let namedId: string | null = null
  addEventListener('focusin', ({ target }) => {
    if (!(target instanceof Element)) return
    last = target
    places = placesAfter(target)
    namedId = target.closest('[data-focus-next]')?.getAttribute('data-focus-next') ?? null
  })
  const observer = new MutationObserver(() => {
    if (last === null || last.isConnected || document.activeElement !== document.body) return
    last = null
    const named = namedId === null ? null : document.getElementById(namedId)
    focusOn(named ?? places.find((place) => place.isConnected) ?? document.getElementById('main'))
  })
  observer.observe(document.body, { childList: true, subtree: true })
}
