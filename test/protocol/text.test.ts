/** Text from other people is shown and cannot control the terminal. */
import { expect, test } from 'vitest'
import { Problem, problemSentence } from '../../src/protocol/index.ts'

test('a problem says what it needs, and whom it concerns', () => {
  const full = new Problem('disk-full', { neededBytes: 2048, freeBytes: 1024 }).toJSON()
  expect(problemSentence(full)).toContain('it needs 2.0 KiB, free are 1.0 KiB')
  const never = new Problem('storage-full', { neededBytes: 2048, freeBytes: 512, limitBytes: 1024 }).toJSON()
  expect(problemSentence(never)).toContain('it needs 2.0 KiB, the limit is 1.0 KiB')
  const unannounced = new Problem('storage-full', { freeBytes: 512, limitBytes: 1024 }).toJSON()
  expect(problemSentence(unannounced)).toMatch(/: the limit is 1\.0 KiB$/)
  expect(problemSentence(new Problem('receiver-unknown', { receivers: ['bob', 'carol'] }).toJSON())).toContain(
    ': bob, carol',
  )
})

test('members of the wrong kind, as a receiver may send them, are ignored', () => {
  const problem = new Problem('declined').toJSON()
  const nested = JSON.parse(`${'['.repeat(4000)}1${']'.repeat(4000)}`)
  for (const strange of [{ toString: 1, valueOf: 1 }, null, 5, nested]) {
    const told = { ...problem, receivers: [strange], neededBytes: strange, freeBytes: '1', limitBytes: [strange] }
    expect(problemSentence(told)).toBe(problem.title)
  }
})
