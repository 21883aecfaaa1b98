/** Preferences of a request (RFC 7240) that this protocol defines. */

/** Asks for interim answers (102) while a part arrives slowly. Without it none is sent, because many HTTP clients take a 1xx for the final answer. */
export const interimPreference = 'interim'
/** Asks for the address of a part in the store, if the store can give one. */
export const redirectPreference = 'redirect'

/** Whether a `Prefer` field names a preference. It may stand beside others, and have parameters. */
export function hasPreference(field: string | undefined, preference: string): boolean {
  const names = (field ?? '').split(',').map((one) => one.split(/[;=]/, 1)[0]?.trim().toLowerCase())
  return names.includes(preference)
}
