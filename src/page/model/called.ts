/** How the page names accounts. */
import { isGuestName, listText } from '../../protocol/index.ts'

/** The own account is "you". A guest has no name that says anything: it is a person who has a link. */
export function calledOf(name: string, own: string): string {
  if (name === own) return 'you'
  return isGuestName(name) ? 'a guest' : name
}

/** bob, carol and 2 guests */
export function peopleText(names: readonly string[], own: string): string {
  const guestCount = names.filter((name) => name !== own && isGuestName(name)).length
  const called = names.filter((name) => name === own || !isGuestName(name)).map((name) => calledOf(name, own))
  if (guestCount > 0) called.push(guestCount === 1 ? 'a guest' : `${guestCount} guests`)
  return listText(called)
}
