/**
 * A timer with a time above its maximum fires at once, and its caller loops. So each time is a constant of its file, or
 * goes through `timerMs`.
 */
import { expect, test } from 'vitest'
import { readSources } from './sources.ts'

/** `\b` also finds `socket.setTimeout`. */
const CALL = /\b(setTimeout|setInterval|AbortSignal\.timeout|pause)\(/g
/** Constants and numbers, and random factors: nothing that comes from outside. */
const CONSTANT = /^[A-Z0-9_\s.,*/+()-]*$/
const OF_NODE = /import \{ setTimeout(?: as (\w+))? \} from 'node:timers\/promises'/

/** The arguments of a call, after its opening bracket. */
function argumentsAt(text: string, start: number): string[] {
  const found = ['']
  let depth = 0
  for (const character of text.slice(start)) {
    if ('([{'.includes(character)) depth++
    if (')]}'.includes(character) && depth-- === 0) return found
    if (character === ',' && depth === 0) found.push('')
    else found[found.length - 1] += character
  }
  throw new Error('the call does not end')
}

/** The timer values of a file that are neither constants nor bounded. */
function unbounded(text: string): string[] {
  const promised = OF_NODE.exec(text)
  const nameOfNode = promised === null ? null : (promised[1] ?? 'setTimeout')
  const findings: string[] = []
  for (const { 0: call, 1: name = '', index } of text.matchAll(CALL)) {
    if (name === 'pause' && nameOfNode !== 'pause') continue
    const given = argumentsAt(text, index + call.length).map((one) => one.trim())
    const isFirst = name === nameOfNode || name.startsWith('Abort') || text[index - 1] === '.'
    const time = (isFirst ? given[0] : given.slice(1).find((one) => one !== '')) ?? ''
    const withoutMath = time.replace(/Math\.\w+/g, '')
    const isBounded = time.startsWith('timerMs(') || CONSTANT.test(withoutMath) || isConstantChoice(time)
    if (!isBounded) findings.push(time)
  }
  return findings
}

/** `isIt ? ONE : OTHER` */
function isConstantChoice(time: string): boolean {
  const [, choices] = / \? (.*)$/s.exec(time) ?? []
  return choices?.split(':').every((one) => CONSTANT.test(one)) === true
}

test('the time of every timer is a constant, or goes through timerMs', () => {
  const isRoom = (path: string) => path.startsWith('src/')
  const findings = readSources()
    .filter(({ path }) => isRoom(path))
    .flatMap(({ path, text }) => unbounded(text).map((time) => `${path}: ${time}`))
  expect(findings).toEqual([])
})

test('a time from elsewhere is found', () => {
  expect(unbounded('setTimeout(() => f(1, 2), options.idleMs)')).toEqual(['options.idleMs'])
  expect(unbounded('setTimeout(f, timerMs(options.idleMs)); setInterval(f, EVERY_MS)')).toEqual([])
  expect(unbounded("import { setTimeout } from 'node:timers/promises'\nawait setTimeout(leaseMs)")).toEqual(['leaseMs'])
  expect(unbounded('reply.raw.setTimeout(context.idleMs)')).toEqual(['context.idleMs'])
})
