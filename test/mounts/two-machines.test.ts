/** Two machines mount one folder. One of them receives, and the other one refuses and says why. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openInbox } from '../../src/receiver/node-inbox.ts'
import { allowedMs } from '../suites/bounds.ts'
import { mountSmall, mountTwice, whyNot } from './mounts.ts'

const inboxModule = new URL('../../src/receiver/node-inbox.ts', import.meta.url).href
const refusal = {
  code: 'folder-unavailable',
  details: { detail: 'another process, perhaps of another machine, is using the folder' },
}
/** A little more than the time without a heartbeat after which another receiver doubts that the owner lives. */
const DOUBT_MS = 10_000
/** How soon a receiver starts again that need not wait for another machine. */
const QUICK_MS = 11_000

/** Starts a receiver that holds the folder until it is killed. */
async function otherReceiver(folder: string): Promise<ChildProcess> {
  const text = `
    const { openInbox } = await import(${JSON.stringify(inboxModule)})
    const inbox = await openInbox(${JSON.stringify(folder)}, { mayCreate: true })
    console.log('open')
    process.stdin.resume()
    setInterval(() => inbox, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', text], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [said] = await once(child.stdout, 'data')
  expect(String(said)).toBe('open\n')
  return child
}

/** Changes the record of the owner to that of another machine. This machine then cannot tell whether the process lives. */
async function ofAnotherMachine(folder: string): Promise<string> {
  const path = join(folder, '.golooader', 'owner')
  const text = (await readFile(path, 'utf8')).replace(
    / [0-9a-f-]{36}\/\d+ /,
    (space) => ` ${'0'.repeat(space.length - 2)} `,
  )
  await writeFile(path, text)
  return text
}

test('of two receivers on two mounts of one folder the second is refused, in either order', async () => {
  const reason = whyNot('sshfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mountTwice()
  const [one, other] = mounted.folders
  const first = await openInbox(one, { mayCreate: true })
  await expect(openInbox(other, { mayCreate: true })).rejects.toMatchObject(refusal)
  await first[Symbol.asyncDispose]()
  expect(await readdir(join(one, '.golooader'))).not.toContain('owner')
  await using _ = await openInbox(other, { mayCreate: true })
  await expect(openInbox(one, { mayCreate: true })).rejects.toMatchObject(refusal)
})

test('a receiver that was killed can restart at once, through the other mount, too', async () => {
  const reason = whyNot('sshfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mountTwice()
  const [one, other] = mounted.folders
  for (const folder of [one, other]) {
    const killed = await otherReceiver(one)
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    const startedAtMs = performance.now()
    await using _ = await openInbox(folder, { mayCreate: true })
    expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(QUICK_MS))
  }
})

test('the folder of a machine that is gone becomes free after a while, and that of a live one does not', async () => {
  const reason = whyNot('sshfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mountTwice()
  const [one, other] = mounted.folders
  const first = await otherReceiver(one)
  await ofAnotherMachine(one)
  // The owner's heartbeat changes the record.
  await expect(openInbox(other, { mayCreate: true })).rejects.toMatchObject(refusal)
  first.kill('SIGKILL')
  await once(first, 'exit')
  const text = await ofAnotherMachine(one)
  await using _ = await openInbox(other, { mayCreate: true })
  expect(await readFile(join(other, '.golooader', 'owner'), 'utf8')).not.toBe(text)
})

test('a receiver whose folder was taken over stops using it, and uses it again once it is free', async () => {
  const reason = whyNot('sshfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mountTwice()
  const [one, other] = mounted.folders
  await using inbox = await openInbox(one, { mayCreate: true })
  expect(await inbox.obstacle(null)).toBeNull()
  const path = join(other, '.golooader', 'owner')
  const taken = (await readFile(path, 'utf8')).replace(
    /^(golooader-owner 1 )(\S+)/,
    (_, start, id) => start + 'x'.repeat(id.length),
  )
  await writeFile(
    path,
    taken.replace(/ [0-9a-f-]{36}\/\d+ /, (space) => ` ${'0'.repeat(space.length - 2)} `),
  )
  const clocks = { ownMs: Date.now(), portalMs: Date.now() }
  await vi.waitFor(
    () => expect(inbox.tidy(clocks)).rejects.toThrow('another process may have taken the folder'),
    20_000,
  )
  await vi.waitFor(async () => expect(await inbox.obstacle(null)).toBeNull(), 60_000)
  await inbox.tidy(clocks)
})

test('a disk that fills up does not take the folder from its receiver', async () => {
  const reason = whyNot('bindfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mountSmall()
  await using inbox = await openInbox(mounted.folder, { mayCreate: true })
  await expect(writeFile(join(mounted.folder, 'large'), Buffer.alloc(2_000_000))).rejects.toMatchObject({
    code: 'ENOSPC',
  })
  const fullAtMs = performance.now()
  await vi.waitFor(() => expect(performance.now() - fullAtMs).toBeGreaterThan(DOUBT_MS), 2 * DOUBT_MS)
  expect(await inbox.obstacle(null)).toBeNull()
  await expect(inbox.published('0199c0de-0000-7000-8000-000000000000')).resolves.toBeNull()
})
