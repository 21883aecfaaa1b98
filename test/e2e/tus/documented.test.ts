/** docs/tus.md is true: its program and its commands send a file. */
import { spawn } from 'node:child_process'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Running } from '../harness/world.ts'
import { expectDelivered, MIB, tusWorld } from './scene.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const page = await readFile(`${root}/docs/tus.md`, 'utf8')

function blockOf(language: string): string {
  const [, block] = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page) ?? []
  if (block === undefined) throw new Error(`docs/tus.md has no ${language}`)
  return block
}

async function outputOf(command: string, args: readonly string[], cwd: string, env: Record<string, string>) {
  const running = new Running(spawn(command, args, { cwd, env: { PATH: process.env.PATH, ...env } }))
  onTestFinished(async () => void (await running.stop('SIGKILL')))
  const { code, stdout, stderr } = await running.ended
  expect(code, stderr).toBe(0)
  return stdout
}

test('its program sends a file, and prints the first notification and the transfer', async () => {
  const { world, headers } = await tusWorld()
  await world.receiver('bob')
  const path = await world.file('report.pdf', 3 * MIB)
  const program = blockOf('js').replace("createReadStream('report.pdf')", `createReadStream(${JSON.stringify(path)})`)
  const env = { PORTAL: world.portalUrl, TOKEN: headers.Authorization.replace('Bearer ', '') }
  // It finds tus-js-client from here.
  const said = await outputOf(process.execPath, ['--input-type=module', '--eval', program], root, env)
  expect(said).toMatch(/^stored\n[0-9a-f-]{36}\n$/)
  await expectDelivered(world, path)
})

test('its commands send a file', async () => {
  const { world, authorization } = await tusWorld()
  await world.receiver('bob')
  const path = await world.file('source', 3 * MIB)
  await copyFile(path, world.path('report.pdf'))
  await writeFile(world.path('auth'), authorization)
  const said = await outputOf('sh', ['-ec', blockOf('sh')], world.folder, { P: world.portalUrl })
  expect(said).toBe('stored\n')
  await expectDelivered(world, path)
})
