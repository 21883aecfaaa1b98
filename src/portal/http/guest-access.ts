/**
 * What guests may do. A route names the kinds of guests that may use it (`config.guests`); without that, none may. It is checked where
 * the account of a request is authenticated, and nowhere else.
 */
import type { FastifyRequest } from 'fastify'
import type { Caller } from '../accounts/accounts.ts'
import { refusal } from '../monitoring/audit.ts'

/** @throws Problem `guest-not-allowed` */
export function requireGuestMay({ guest }: Caller, { routeOptions }: FastifyRequest): void {
  if (guest === null || routeOptions.config.guests?.includes(guest.kind) === true) return
  throw refusal('guest-not-allowed', 'access-denied', { resource: routeOptions.url })
}
