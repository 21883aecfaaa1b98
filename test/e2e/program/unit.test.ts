/** The systemd unit of a receiver: its environment and its command, run in folders of the test. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'
import { root } from './checkout.ts'

test('a receiver whose unit starts for the first time receives', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['bob'])
  const unit = await readFile(join(root, 'deploy/systemd/golooader-receive@.service'), 'utf8')
  const settings = [...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = '']) => line.split(' '))
  const env = Object.fromEntries(
    settings.map((one) => {
      const [name = '', value = ''] = one.split('=')
      return [name, value.replaceAll('%S', world.folder).replaceAll('%i', 'bob')]
    }),
  )
  expect(env).toMatchObject({ GOLOOADER_INTO: world.path('golooader-receive/bob/inbox') })
  const [, command = ''] = /^ExecStart=golooader (.*)$/m.exec(unit) ?? []
  // bob has joined already, on another machine.
  const { XDG_CONFIG_HOME: _, ...rest } = env
  const receiver = world.start([...command.split(' '), '--json'], { env: rest })
  await receiver.object(({ type }) => type === 'connected')
})
