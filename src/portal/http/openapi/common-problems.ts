/** Problems that a kind of route may answer, independent of the route itself. */
import type { RouteOptions } from 'fastify'
import { type ProblemCode, problemKinds } from '../../../protocol/index.ts'

/** Problems of every route. */
const ofAll = ['request-invalid', 'request-timeout', 'headers-too-large', 'internal', 'unavailable'] as const
/** Problems of routes that need a token. */
const ofAccounts = [
  'credentials-invalid',
  'credentials-missing',
  'rate-limited',
  'too-many-connections',
  'guest-not-allowed',
] as const
/** Problems of routes that read their body at once. */
const ofBodies = ['body-too-large', 'media-type-unsupported'] as const

/** The codes that a route may answer, in the order of the table of problems. */
export function problemsOf(route: RouteOptions, needsToken: boolean): ProblemCode[] {
  const codes = new Set<ProblemCode>([...ofAll, ...(route.schema?.problems ?? [])])
  const add = (more: readonly ProblemCode[]): void => {
    for (const code of more) codes.add(code)
  }
  if (route.url.startsWith('/v1/')) codes.add('cross-site-request')
  // An overlong path parameter matches no route.
  if (route.url.includes(':')) codes.add('not-found')
  if (needsToken) add(ofAccounts)
  if (route.method !== 'GET' && route.config?.body === undefined) add(ofBodies)
  return (Object.keys(problemKinds) as ProblemCode[]).filter((code) => codes.has(code))
}
