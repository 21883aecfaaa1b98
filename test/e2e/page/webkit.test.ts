/** The page in WebKitGTK, which has no OPFS and stores no X25519 keys. */
import { expect, test } from 'vitest'
import { WebKitVisitor } from '../../page/harness/webkit.ts'
import { requestLink, sendLink, WITH_GUESTS } from './links.ts'
import { expectArrived, MIB, sceneWith } from './visit.ts'

test('WebKitGTK joins, says what its limits are, sends and receives, and has the same account after a reload', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  await using visitor = await WebKitVisitor.open()
  await visitor.open(await scene.link('carol'))
  await visitor.says('This browser stores the key that opens sealed files encrypted, and this page can read it.')
  await visitor.says('files larger than 256 MiB cannot be received here')
  await visitor.press('Join')
  await visitor.says('carol at ')
  expect(await visitor.inside('keptDecryptionKey')).toBe('wrapped by AES-GCM, false')

  await visitor.reload()
  await visitor.says('carol at ')
  const path = await world.file('out.bin', 9 * MIB)
  await visitor.write('input[data-for="files"]', path)
  await visitor.write('#to', 'bob')
  await visitor.press('Add')
  await visitor.press('Send it to bob')
  await world.receiver('bob')
  await visitor.says('receipt verified')
  await expectArrived(world, 'bob', 'out.bin', path)

  await visitor.press('Receive')
  const sending = world.send(await world.file('in.bin', 9 * MIB), 'carol')
  await visitor.press('Accept in.bin')
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  expect(stdout).toContain('"delivered"')
  await visitor.says(/in\.bin.* is still kept in this browser/s)
})

test('a person without an account receives and sends by links in WebKitGTK', async () => {
  await using scene = await sceneWith(['alice'], WITH_GUESTS)
  const { world } = scene
  await using visitor = await WebKitVisitor.open()
  const { link, send } = await sendLink(scene)
  const sending = send(await world.file('report.pdf', 9 * MIB))
  await sending.notification('stored')
  await visitor.open(link)
  await visitor.says('alice sends you report.pdf')
  await visitor.press('Receive')
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  await visitor.says('Arrived, intact; alice has your receipt.')

  await world.receiver('alice')
  const request = await requestLink(scene, { label: 'tax papers' })
  await visitor.open(request.link)
  await visitor.says('alice asks you for “tax papers”')
  const path = await world.file('income.pdf', 9 * MIB)
  await visitor.write('input[data-for="files"]', path)
  await visitor.press('Send it to alice')
  await visitor.says('Delivered to alice: arrived, intact, receipt verified.')
  await expectArrived(world, 'alice', 'income.pdf', path)
})
