/** Behaviour without the addon, in processes of their own. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { addonIsRequired, addonPackage, platformPackage, redirecting, withoutAddon } from '../suites/addon.ts'

const digests = new URL('../../src/digests/index.ts', import.meta.url).href
const SCRIPT = `
  import { digestOf, fastDigestAlgorithms } from '${digests}'
  console.log(JSON.stringify([fastDigestAlgorithms, digestOf('blake3', Buffer.from('abc'))]))
`

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'golooader-addon-'))
  await writeFile(join(folder, 'garbage.node'), 'not what a system loads')
  await writeFile(join(folder, 'faulty.cjs'), "throw new TypeError('a mistake in the package')")
})

afterAll(() => rm(folder, { recursive: true }))

async function started(env: Record<string, string>, ...flags: string[]): Promise<unknown> {
  const args = [...flags, '--input-type=module', '--eval', SCRIPT]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { PATH: process.env.PATH, ...env } })
  return JSON.parse(stdout)
}

const computed = digestOf('blake3', Buffer.from('abc'))

test('without the addon sha-256 is the only fast algorithm, and blake3 can still be verified', async () => {
  expect(await started(withoutAddon)).toEqual([['sha-256'], computed])
})

test('the same holds where addons are forbidden', async () => {
  expect(await started({}, '--no-addons')).toEqual([['sha-256'], computed])
})

test('the same holds where the package supports neither the processor nor the system', async () => {
  for (const change of ['"arch",{value:"riscv64"}', '"platform",{value:"sunos"}']) {
    const flag = `--import=data:text/javascript,Object.defineProperty(process,${change})`
    expect(await started({}, flag), change).toEqual([['sha-256'], computed])
  }
})

describe.runIf(addonIsRequired)('of this platform', () => {
  test('with the addon installed, blake3 comes first', async () => {
    expect(await started({})).toEqual([['blake3', 'sha-256'], computed])
  })

  test('without the package of the platform, the addon counts as missing', async () => {
    expect(await started(redirecting(platformPackage, '/nowhere'))).toEqual([['sha-256'], computed])
  })

  test('an addon that the system cannot load counts as missing', async () => {
    expect(await started(redirecting(platformPackage, join(folder, 'garbage.node')))).toEqual([['sha-256'], computed])
  })

  test('any other failure does not count as a missing addon', async () => {
    for (const name of [addonPackage, platformPackage]) {
      const starting = started(redirecting(name, join(folder, 'faulty.cjs')))
      await expect(starting).rejects.toThrow('a mistake in the package')
    }
  })
})
