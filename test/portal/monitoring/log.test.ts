/** The portal logs one line for a failure that an operator can repair, and does not repeat it all the time. */
import { describe, expect, test } from 'vitest'
import { plainReason, portalLog } from '../../../src/portal/monitoring/log.ts'
import { Problem } from '../../../src/protocol/index.ts'

function aLog() {
  const lines: Record<string, unknown>[] = []
  const clock = { ms: 0 }
  const log = portalLog({ level: 'warn', write: (line) => lines.push(JSON.parse(line)) }, () => clock.ms)
  return { log, lines, clock }
}

const away = (reason: string): Problem =>
  new Problem('unavailable', { detail: 'the database does not answer at the moment' }, { cause: new Error(reason) })

test('a database that is away is one line with the reason, and every ten seconds another with the count', () => {
  const { log, lines, clock } = aLog()
  for (let ms = 0; ms <= 12_000; ms += 500) {
    clock.ms = ms
    log.error({ err: away('connect ECONNREFUSED'), what: 'sweep' }, 'a sweep failed')
  }
  expect(lines).toMatchObject([
    {
      reason: 'the database does not answer at the moment: connect ECONNREFUSED',
      what: 'sweep',
      msg: 'a sweep failed',
    },
    { count: 20, msg: 'a sweep failed' },
  ])
  expect(JSON.stringify(lines)).not.toMatch(/stack|log\.test/)
})

test('another reason, another message and each child logger are counted separately', () => {
  const { log, lines } = aLog()
  log.error({ err: away('one') }, 'a sweep failed')
  log.error({ err: away('two') }, 'a sweep failed')
  log.child({ reqId: 'a' }).error({ err: away('one') }, 'another failed')
  log.child({ reqId: 'b' }).error({ err: away('one') }, 'another failed')
  expect(lines.map(({ msg, reqId }) => [msg, reqId])).toEqual([
    ['a sweep failed', undefined],
    ['a sweep failed', undefined],
    ['another failed', 'a'],
  ])
})

test('a possible bug is logged with its stack each time', () => {
  const { log, lines } = aLog()
  for (const err of [new TypeError('a bug'), new TypeError('a bug'), new Problem('internal', {}, { cause: 'a bug' })]) {
    log.error({ err }, 'it failed')
  }
  expect(lines).toHaveLength(3)
  for (const { err } of lines) expect(err).toMatchObject({ stack: expect.stringMatching(/log\.test/) })
})

describe('the reason of a failure', () => {
  test.each([
    ['an error', new Error('one\n  line'), 'one line'],
    ['the innermost of several', new Error('outer', { cause: new Error('inner') }), 'inner'],
    ['tries at several addresses', new AggregateError([new Error('refused'), new Error('late')], ''), 'refused'],
    ['a problem within a problem', new Problem('unavailable', {}, { cause: away('refused') }), 'refused'],
    ['a problem alone', new Problem('unavailable'), 'The portal is not ready to serve'],
    ['what is no error', 'text', 'text'],
  ])('%s', (_what, error, reason) => {
    expect(plainReason(error)).toBe(reason)
  })
})
