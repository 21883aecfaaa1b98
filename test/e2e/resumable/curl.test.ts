/** An upload that people continue by curl alone, with the commands of docs/curl.md as they stand there. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256Of } from '../harness/world.ts'
import { handWorld, MIB, relayTo } from '../one-request/curl.ts'

const SIZE_BYTES = 40 * MIB

/** The blocks of commands of the page. */
async function commands() {
  const page = await readFile(new URL('../../../docs/curl.md', import.meta.url), 'utf8')
  const [, section = ''] = /^## Uploads that continue\n([\s\S]*?)\n## /m.exec(page) ?? []
  const [byHand = '', atOnce = ''] = [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block)
  const again = byHand.indexOf('O=$(offset)')
  const offset = byHand.indexOf('offset()')
  if (again < 0 || offset < 0 || !atOnce.includes('-D heads')) throw new Error('docs/curl.md has other commands')
  return {
    create: byHand.slice(0, offset),
    offset: byHand.slice(offset, again),
    /** Asks for the offset, and sends the rest. */
    again: byHand.slice(again),
    atOnce,
  }
}

/** A shell, in a folder with the file and the token, on a line that is cut once, after some bytes. */
async function begin({ cutAfterBytes = Number.POSITIVE_INFINITY } = {}) {
  const { world, authorization } = await handWorld()
  const path = await world.file('report.pdf', SIZE_BYTES)
  await writeFile(world.path('files', 'auth'), authorization)
  await world.receiver('bob')
  let leftCuts = 1
  const line = await relayTo(world.portalUrl, (bytes, cutAll) => {
    if (bytes <= cutAfterBytes || leftCuts === 0) return
    leftCuts--
    cutAll()
  })
  /** Runs a script, which continues after a command that fails. */
  const typed = async (script: string) => {
    const wrapper = ['sh', '-c', `cd files\nP=${line.url}\n${script}`, '--']
    const { stdout, stderr } = await world.start([], { wrapper }).ended
    return { lines: stdout.split('\n').filter((one) => one !== ''), stderr }
  }
  const expectReceived = async (): Promise<void> => {
    expect(await world.received('bob')).toEqual(['report.pdf'])
    expect(await sha256Of(join(world.inbox('bob'), 'report.pdf'))).toBe(await sha256Of(path))
  }
  return { world, line, typed, expectReceived }
}

/** The lines of both notifications. */
const notified = [expect.stringMatching(/^stored \S+ report\.pdf, 40\.0 MiB, waiting for bob$/), 'delivered bob']
const tellOffset = 'echo "at $O"\n'

function offsetIn(line: string | undefined): number {
  return Number(/^at (\d+)$/.exec(line ?? '')?.[1] ?? Number.NaN)
}

test('the commands create an upload, and continue it after a break, and once more after the end', async () => {
  const { create, offset, again } = await commands()
  const { line, typed, expectReceived } = await begin({ cutAfterBytes: 20 * MIB })
  const once = again.concat(tellOffset)
  const { lines, stderr } = await typed(create + offset + once + once + once)
  const toldAgain = [expect.stringMatching(/^stored \S+ report\.pdf, 40\.0 MiB$/), 'delivered bob']
  expect(lines, stderr).toEqual(['at 0', ...notified, expect.stringMatching(/^at /), ...toldAgain, `at ${SIZE_BYTES}`])
  expect(stderr).toMatch(/curl: \((52|55|56)\)/)
  expect(offsetIn(lines[3])).toBeGreaterThan(0)
  // A part may have been under way, and what lies in the buffers of the line is lost.
  expect(line.bytes()).toBeLessThan(SIZE_BYTES + 16 * MIB)
  await expectReceived()
})

test('curl that ends itself in the middle is continued, too', async () => {
  const { create, offset, again } = await commands()
  const { typed, expectReceived } = await begin()
  const short = again.replace('curl -T -', 'curl --max-time 3 --limit-rate 5M -T -')
  const { lines, stderr } = await typed(create + offset + short + again + tellOffset)
  expect(stderr).toContain('curl: (28)')
  expect(lines, stderr).toEqual([...notified, expect.stringMatching(/^at /)])
  expect(offsetIn(lines[2])).toBeLessThan(SIZE_BYTES)
  await expectReceived()
})

test('curl writes the 104 of a request with the whole file, and continues by the address in it', async () => {
  const { offset, again, atOnce } = await commands()
  const { typed, expectReceived, world } = await begin({ cutAfterBytes: 20 * MIB })
  const { lines, stderr } = await typed(`${atOnce}${offset}${again}${tellOffset}`)
  expect(lines, stderr).toEqual([...notified, expect.stringMatching(/^at /)])
  expect(offsetIn(lines[2])).toBeGreaterThan(0)
  const heads = await readFile(world.path('files', 'heads'), 'utf8')
  expect(heads).toMatch(
    /^HTTP\/1\.1 104 Upload Resumption Supported\r\n(?:[\w-]+: [^\r]*\r\n)*location: \/v1\/uploads\/[\w-]{43}\r\n/i,
  )
  await expectReceived()
})

test('without a break, curl that is told the address gets the answer of a plain request, and the end of the upload', async () => {
  const { atOnce } = await commands()
  const { typed, expectReceived, world } = await begin()
  const { lines, stderr } = await typed(atOnce)
  expect(lines, stderr).toEqual(notified)
  const heads = await readFile(world.path('files', 'heads'), 'utf8')
  expect(heads).toMatch(/HTTP\/1\.1 104 [^\r]*\r\n(?:[\w-]+: [^\r]*\r\n)*upload-offset: 8388608\r\n/i)
  expect(heads).toMatch(/HTTP\/1\.1 200 OK\r\n[\s\S]*upload-complete: \?1\r\n/i)
  await expectReceived()
})

test('where a proxy is in between, the portal tells curl no address, and answers it as before', async () => {
  const { atOnce, create } = await commands()
  const { typed, expectReceived, world } = await begin()
  const { lines, stderr } = await typed(`${atOnce.replace('curl ', "curl -H 'Via: 1.1 cache' ")}echo "$U"`)
  expect(lines, stderr).toEqual([...notified, expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)])
  expect(await readFile(world.path('files', 'heads'), 'utf8')).not.toContain('104')
  await expectReceived()
  const refused = await typed(`${create.replaceAll('/bob/', '/nobody/')}`)
  expect(refused.stderr).toContain('404')
})
