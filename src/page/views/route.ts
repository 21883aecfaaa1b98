/** The shown view. The fragment of the address names it, so that the back and forward buttons work. */
import { signal } from '@preact/signals'

export type Route =
  | { readonly view: 'send' | 'receive' | 'history' | 'portal' | 'you' }
  | { readonly view: 'detail'; readonly transferId: string; readonly isOwn: boolean }

const VIEWS = ['send', 'receive', 'history', 'portal', 'you'] as const

function parseRoute(hash: string): Route {
  const [view, which, transferId] = hash.replace(/^#/, '').split('/')
  if (view === 'history' && transferId !== undefined) return { view: 'detail', transferId, isOwn: which === 'sent' }
  const known = VIEWS.find((one) => one === view)
  return { view: known ?? 'send' }
}

/** The address of the detail view of one transfer. */
export function detailHash(transferId: string, isOwn: boolean): string {
  return `#history/${isOwn ? 'sent' : 'received'}/${transferId}`
}

export const route = signal<Route>(parseRoute(location.hash))

addEventListener('hashchange', () => {
  route.value = parseRoute(location.hash)
})
