/** Any name that a sender gives to a file becomes one plain entry of the receiver's folder, or is refused. */
import { access, readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { PortalClient } from '../../../src/client/index.ts'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { newTransferId } from '../../../src/protocol/index.ts'
import { until, World } from '../harness/world.ts'

/** The announced name and the resulting entry of the folder; null where the name is refused. */
const names: readonly (readonly [announced: string, written: string | null])[] = [
  ['plain.txt', 'plain.txt'],
  ['../evil', null],
  ['../../../../../../tmp/golooader-evil', null],
  ['/tmp/golooader-evil', null],
  ['folder/evil', null],
  ['folder\\evil', null],
  ['C:evil', null],
  ['c:\\evil', null],
  ['evil\0.txt', null],
  ['\0', null],
  ['.', null],
  ['..', null],
  [' ', null],
  ['.golooader', null],
  ['.GOLOOADER', null],
  ['.golooader/lock', null],
  ['...', '___'],
  ['.bashrc', '_bashrc'],
  ['con', '_con'],
  ['NUL.txt', '_NUL.txt'],
  ['line\nbreak', 'line_break'],
  ['\u001b[2Jcleared', '_[2Jcleared'],
  ['photo\u202egpj.exe', 'photo_gpj.exe'],
  ['\u2066hidden\u2069', '_hidden_'],
  ['zero\u200bwidth', 'zero_width'],
  ['lone\ud800surrogate', 'lone_surrogate'],
  ['\udfff', '_'],
  ['what? <it> is: "a|b*"', 'what_ _it_ is_ _a_b__'],
  ['ends. . ', 'ends____'],
  ['cafe\u0301.txt', 'caf\u00e9.txt'],
  ['-rf', '_rf'],
  ['👩\u200d💻.txt', '👩\u200d💻.txt'],
  ['CONIN$', '_CONIN$'],
  ['soft\u00adhyphen', 'soft_hyphen'],
  ['~', '~'],
  ['$(reboot)', '$(reboot)'],
  [`${'n'.repeat(300)}.txt`, `${'n'.repeat(251)}.txt`],
  ['\u20ac'.repeat(300), '\u20ac'.repeat(85)],
  ['\u{1f600}'.repeat(100), '\u{1f600}'.repeat(63)],
]

/** Sends a small file under any name. The send command only gives real names. */
async function sendAs(alice: PortalClient, name: string): Promise<string> {
  const bytes = Buffer.from(`sent as ${JSON.stringify(name)}`)
  const digest = digestOf('sha-256', bytes)
  const transferId = newTransferId()
  await alice.announce(transferId, {
    to: ['bob'],
    metadata: { name },
    sizeBytes: bytes.length,
    partSizeBytes: 64 * 1024,
    digestAlgorithm: 'sha-256',
  })
  await alice.putPart(transferId, 1, { bytes, digestAlgorithm: 'sha-256', digest })
  await alice.complete(transferId, { manifestDigest: manifestDigestOf('sha-256', [digest]), attempt: 1 })
  return transferId
}

test('no name leaves the folder, hides a file or disguises its type', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['bob'])
  // Sent by requests of the test, from an account that signs nothing.
  await world.join(['alice'], {}, { hasKeys: false })
  const bob = await world.receiver('bob')
  const alice = await world.client('alice')
  const before = (await readdir(world.folder)).sort()

  const sent = new Map<string, string>()
  for (const [name] of names) sent.set(await sendAs(alice, name), name)
  const second = async () => (await alice.events({ limit: 500 })).events.filter((one) => 'receiver' in one)
  await until(async () => (await second()).length === names.length, 'every one of them is answered')

  for (const notification of await second()) {
    const name = sent.get(notification.transferId) ?? ''
    const written = names.find(([announced]) => announced === name)?.[1]
    const outcome = 'problem' in notification ? notification.problem.code : notification.notification
    expect(outcome, JSON.stringify(name)).toBe(written === null ? 'name-refused' : 'delivered')
  }
  const written = names.flatMap(([, one]) => (one === null ? [] : [one]))
  expect(await world.received('bob')).toEqual([...written].sort())
  for (const [announced, one] of names) {
    if (one === null) continue
    const text = await readFile(`${world.inbox('bob')}/${one}`, 'utf8')
    expect(text).toBe(`sent as ${JSON.stringify(announced)}`)
  }
  expect((await readdir(world.folder)).sort(), 'nothing beside the folder').toEqual(before)
  await expect(access('/tmp/golooader-evil')).rejects.toMatchObject({ code: 'ENOENT' })
  expect((await bob.stop()).stderr, 'the receiver took it calmly').toBe('')
})

test('a hundred files with the same name are kept side by side', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['bob'])
  // Sent by requests of the test, from an account that signs nothing.
  await world.join(['alice'], {}, { hasKeys: false })
  await world.receiver('bob')
  const alice = await world.client('alice')
  await Promise.all(Array.from({ length: 100 }, () => sendAs(alice, 'same.txt')))
  await until(async () => (await world.received('bob')).length === 100, 'all of them have come')
  const expected = Array.from({ length: 100 }, (_, number) => (number === 0 ? 'same.txt' : `same (${number}).txt`))
  expect(await world.received('bob')).toEqual(expected.sort())
})
