/** The output of `send` in real pseudo-terminals of several kinds. */
import { expect, test } from 'vitest'
import { World } from './harness/world.ts'

/** Runs a command in a terminal of its own. `script` passes on the output byte by byte. */
function inTerminal(columns: number): string[] {
  const inside = `stty cols ${columns} rows 24; exec $COMMAND`
  return ['sh', '-c', `COMMAND="$0 $*" exec script -qec '${inside}' /dev/null`]
}

const ESCAPE = '\x1B'
/** Colours and other escape sequences (ECMA-48, SGR). */
const COLOUR = new RegExp(`${ESCAPE}\\[[0-9;]*m`)
const SEQUENCE = new RegExp(`${ESCAPE}\\[[?0-9;]*[A-Za-z]`, 'g')

test('a capable terminal gets a live view, and others get plain lines, ASCII or narrow lines', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('Grün.bin', 100_000)
  const shown = async (columns: number, env: Record<string, string>): Promise<string> => {
    const args = ['send', path, '--to', 'bob', '--profile', 'alice', '--wait', '700ms']
    const { code, stdout, stderr } = await world.start(args, { wrapper: inTerminal(columns), env }).ended
    expect(code, `${stdout}${stderr}`).toBe(6)
    expect(stdout, 'no colours, so NO_COLOR needs no rule').not.toMatch(COLOUR)
    return stdout
  }
  const utf8 = { TERM: 'xterm', LANG: 'C.UTF-8' }

  const usual = await shown(80, { ...utf8, NO_COLOR: '1' })
  expect(usual).toContain(`${ESCAPE}[`)
  expect(usual).toContain('█')
  expect(usual).toContain('✔ Grün.bin: stored')

  const dumb = await shown(80, { ...utf8, TERM: 'dumb' })
  expect(dumb).not.toContain(ESCAPE)
  expect(dumb).toContain('✔ Grün.bin: stored')

  const ascii = await shown(80, { TERM: 'xterm', LC_ALL: 'C' })
  expect(ascii).toContain(`${ESCAPE}[`)
  expect(ascii).toContain('+ Gr\\u00fcn.bin: stored')
  expect(ascii).toMatch(/^[\0-\x7F]*$/)

  const narrow = await shown(20, utf8)
  const figures = narrow
    .replace(SEQUENCE, '')
    .split(/\r?\n/)
    .filter((line) => line.startsWith(' portal '))
  expect(figures.length).toBeGreaterThan(0)
  for (const line of figures) expect(line.length).toBeLessThanOrEqual(20)
  expect(narrow, 'a bar would only wrap').not.toContain('█')
})

test('prose of the help fits the terminal, and is filled', async () => {
  await using world = await World.create()
  const wrapper = inTerminal(60)
  const { stdout } = await world.start(['watch', '--help'], { wrapper, env: { TERM: 'xterm', LANG: 'C.UTF-8' } }).ended
  const prose = stdout.split(/\r?\n/).filter((line) => /^[^\s]/.test(line))
  expect(prose).toContain('Sends whatever is put into a folder: each file, and each')
  for (const line of prose) expect(line.length, line).toBeLessThanOrEqual(60)
})
