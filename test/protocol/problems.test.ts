import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'
import {
  isProblemCode,
  nextStepOf,
  Problem,
  ProblemBody,
  type ProblemCode,
  problemBytesMax,
  problemKinds,
} from '../../src/protocol/index.ts'

const codes = Object.keys(problemKinds) as ProblemCode[]
const body = Compile(ProblemBody)

describe.each(codes)('the problem %s', (code) => {
  const { status, title, next } = problemKinds[code]

  test('is serialised as problem+json that matches the schema', () => {
    const json = JSON.parse(JSON.stringify(new Problem(code)))
    expect(json).toEqual({ type: expect.stringMatching(/^(urn|https):/), title, status, code })
    expect(body.Check(json)).toBe(true)
    expect(JSON.stringify(json).length).toBeLessThan(problemBytesMax)
  })

  test('means the same next step on both sides', () => {
    expect(new Problem(code).next).toBe(next)
    expect(nextStepOf({ code, status })).toBe(next)
    expect(status).toBeGreaterThanOrEqual(400)
  })
})

test('details are serialised beside the members of RFC 9457, and cannot replace them', () => {
  const details = { neededBytes: 5, code: 'forged', status: 200, title: 'forged', type: 'forged', detail: 'No room.' }
  expect(new Problem('storage-full', details).toJSON()).toEqual({
    type: 'urn:golooader:problem:storage-full',
    title: 'There is no room to store the transfer',
    status: 507,
    code: 'storage-full',
    detail: 'No room.',
    neededBytes: 5,
  })
})

test('the message has title and detail, and the cause is kept', () => {
  const cause = new Error('ENOSPC')
  const problem = new Problem('storage-full', { detail: 'Free 3 GB.' }, { cause })
  expect(problem.message).toBe('There is no room to store the transfer: Free 3 GB.')
  expect(problem.cause).toBe(cause)
  expect(problem).toBeInstanceOf(Error)
})

test('registered problem types keep their registered address', () => {
  expect(new Problem('digest-mismatching-value').toJSON().type).toBe(
    'https://iana.org/assignments/http-problem-types#digest-mismatching-value',
  )
})

test.each([
  [500, 'retry'],
  [503, 'retry'],
  [429, 'retry'],
  [408, 'retry'],
  [400, 'fix'],
  [404, 'fix'],
  [409, 'fix'],
])('a code of a newer peer with status %d means: %s', (status, next) => {
  expect(nextStepOf({ code: 'of-the-future', status })).toBe(next)
})

test('property names that every object has are not codes', () => {
  for (const name of ['toString', 'constructor', '__proto__']) expect(isProblemCode(name)).toBe(false)
})
