/** An invalid command line ends with exit code 2 and advice, and never with a stack trace. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Ended, World } from '../harness/world.ts'

function expectUsage({ code, stdout, stderr }: Ended, message: RegExp, what: string): void {
  expect(`${code}`, `${what}: ${stderr}`).toBe('2')
  expect(stderr, what).toMatch(message)
  expect(stderr, what).not.toMatch(/\n\s+at |node:|\.ts:\d|this is a bug/)
  expect(stdout.trim(), what).toBe('')
}

const UUID_V4 = '9c2f1f70-6c0b-4b6e-8f0a-0c6a7a3f3b11'

test('wrong usage ends with exit code 2 and says what to do', async () => {
  await using world = await World.create()
  const cases: readonly (readonly [args: string, message: RegExp])[] = [
    ['', /Usage: golooader/],
    ['sned a.txt --to bob', /unknown command 'sned'[\s\S]*Did you mean send/],
    ['send a.txt --to bob --too carol', /unknown option '--too'[\s\S]*\(golooader send --help shows how\)/],
    ['accounts revoke bob --now', /unknown option '--now'[\s\S]*\(golooader accounts revoke --help shows how\)/],
    ['portal --data /proc/golooader/data', /folder cannot be used: there is no \/proc\/golooader/],
    ['accounts sned', /unknown command 'sned'[\s\S]*\(golooader accounts --help shows how\)/],
    ['accounts sned --json', /unknown command 'sned'/],
    ['help sned', /unknown command 'sned'[\s\S]*Did you mean send/],
    ['accounts help lits', /unknown command 'lits'/],
    ['accounts list all', /too many arguments for 'list'/],
    ['contacts trsut bob abcd', /unknown command 'trsut'[\s\S]*\(golooader contacts --help shows how\)/],
    ['--too', /unknown option '--too'[\s\S]*\(golooader --help shows how\)/],
    ['send a.txt --to Bob', /'Bob' cannot be the name of an account: use lower-case letters, digits/],
    ['receive --into in --from bob,-carol', /'-carol' cannot be the name of an account: use lower-case letters/],
    ['contacts trust Bob! abcd', /'Bob!' cannot be the name of an account: use lower-case letters/],
    ['receive --into=', /Give the way to a folder or a file/],
    ['portal --data=', /Give the way to a folder or a file/],
    ['send - --to bob', /standard input has no name: give the one for the receiver/],
    ['verify nowhere.bin --receipt nowhere.receipt', /the receipt cannot be read: there is no nowhere\.receipt/],
    ['send a.txt', /say who receives it: --to NAME; or print a link/],
    ['send --to bob', /missing required argument 'path'/],
    ['send a.txt --to bob --answer-timeout soon', /Give a number and a unit: 500ms, 90s, 5m/],
    ['send a.txt --to bob --answer-timeout -5s', /--answer-timeout/],
    ['send a.txt --to bob --wait 5', /Give a number and a unit/],
    ['send a.txt --to bob --part-size huge', /Give a number, with a unit if you like/],
    ['send a.txt --to bob --part-size 0', /Give a size above 0/],
    ['send a.txt --to bob --parts-in-flight 0', /Give a whole number from 1 on/],
    ['send a.txt --to bob', /has not joined a portal yet[\s\S]*golooader join LINK/],
    ['send a.txt --to bob --profile nobody', /no profile 'nobody'[\s\S]*golooader join LINK/],
    ['send a.txt --to bob --profile ../../etc/passwd', /is not the name of a profile/],
    ['receive', /--into <dir>' not specified/],
    ['receive --into in', /has not joined a portal yet/],
    ['receive --into in --transfers many', /Give a whole number/],
    ['receive --into in --transfers 100', /from 1 to 64/],
    ['portal --listen nonsense', /Give HOST:PORT/],
    ['portal --listen 127.0.0.1:99999', /Give HOST:PORT/],
    ['portal --listen 7878', /Give HOST:PORT/],
    ['portal --quota lots', /Give a number, with a unit/],
    ['portal --max-transfer 2TiB', /room for 671088480000 bytes at most/],
    ['portal --inline-max 257KiB', /room for 262144 bytes at most/],
    ['portal --expiry 0x10', /Give a number and a unit/],
    ['portal --public-url ftp://a', /begins with http/],
    ['portal --log-level loud', /Allowed choices are/],
    ['portal --digests sha-256,md5', /'md5' is no digest algorithm of this version: blake3, sha-256/],
    ['portal --redirect-downloads', /needs a store that can be reached by addresses of its own: --store s3/],
    ['portal something', /too many arguments/],
    ['join', /missing required argument 'link'/],
    ['join nonsense', /not the link of an invite[\s\S]*https:\/\//],
    ['join http://127.0.0.1:1/join', /in quotes/],
    ['join http://127.0.0.1:1/join#gli_short', /not the link of an invite/],
    ['invite', /missing required argument 'name'/],
    ['invite Alice!', /cannot be the name of an account/],
    ['status nonsense', /'nonsense' is not the id of a transfer[\s\S]*golooader status/],
    [`status ${UUID_V4}`, /is not the id of a transfer/],
    ['cancel nonsense', /is not the id of a transfer/],
    ['cancel', /missing required argument 'transfer'/],
    ['status --limit 0', /Give a whole number/],
  ]
  await writeFile(world.path('a.txt'), 'a')
  const waiting = cases.map(([args, message]) => ({ args, message }))
  const worker = async (): Promise<void> => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
      expectUsage(await world.run(...one.args.split(' ').filter((word) => word !== '')), one.message, one.args)
    }
  }
  await Promise.all([worker(), worker(), worker(), worker()])
})

test('with several profiles, a command asks for --profile', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', 10)
  for (const args of [['send', path, '--to', 'bob'], ['receive', '--into', 'in', '--create'], ['status']]) {
    expectUsage(await world.run(...args), /several profiles; say which: --profile alice\|bob/, args.join(' '))
  }
  await writeFile(world.path('config', 'golooader', 'profiles', 'bob.json'), '{"portalUrl": 5')
  expectUsage(await world.run('status', '--profile', 'bob'), /damaged\. Remove it and join again/, 'a damaged profile')
  expectUsage(
    await world.run('send', path, '--to', 'Bob!', '--profile', 'alice'),
    /cannot be the name of an account/,
    'to',
  )
})

test('accounts are created by link while the portal runs; only the owner can read the profile', async () => {
  await using world = await World.create()
  await world.portal()
  const invited = await world.run('invite', 'alice', '--data', world.dataFolder)
  expect(invited.code).toBe(0)
  const link = invited.stdout.trim()
  expect(link).toMatch(new RegExp(`^${world.portalUrl}/join#gli_[A-Za-z0-9_-]{43}$`))

  const joined = await world.run('join', link)
  expect(joined, joined.stderr).toMatchObject({ code: 0 })
  expect(joined.stdout).toContain('as alice')
  const profile = world.path('config', 'golooader', 'profiles', 'alice.json')
  expect((await stat(profile)).mode & 0o777).toBe(0o600)
  expect((await stat(world.path('config', 'golooader', 'profiles'))).mode & 0o077).toBe(0)
  expect((await stat(`${world.dataFolder}/ledger.sqlite`)).mode & 0o077).toBe(0)
  expect(joined.stdout + joined.stderr).not.toContain(JSON.parse(await readFile(profile, 'utf8')).token)

  // The link is used up. The profile stays.
  const again = await world.run('join', link)
  expect(again.code).toBe(4)
  expect(again.stderr).toMatch(/invite-invalid[\s\S]*golooader invite NAME/)
  expect((await world.run('status')).code).toBe(0)

  const existing = await world.run('invite', 'alice', '--data', world.dataFolder)
  expectUsage(existing, /account-exists/, 'an invite for an account that exists')

  // From standard input, so that the secret appears in no list of processes.
  const bob = (await world.run('invite', 'bob', '--data', world.dataFolder)).stdout
  const piped = world.start(['join', '-'], { wrapper: ['sh', '-c', `printf %s '${bob.trim()}' | "$0" "$@"`] })
  const ended = await piped.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  expect(ended.stdout).toContain('as bob')
})

test('joining does not overwrite a profile of another account', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const before = await readFile(world.path('config', 'golooader', 'profiles', 'alice.json'), 'utf8')
  const link = (await world.run('invite', 'bob', '--data', world.dataFolder)).stdout.trim()
  expectUsage(await world.run('join', link, '--profile', 'alice'), /already[\s\S]*--profile/, 'join')
  expect(await readFile(world.path('config', 'golooader', 'profiles', 'alice.json'), 'utf8')).toBe(before)
  // As the message advises: the same link, with another profile name.
  const again = await world.run('join', link, '--profile', 'work')
  expect(again, again.stderr).toMatchObject({ code: 0 })
})

test('every option is also an environment variable, and the flag takes precedence', async () => {
  await using world = await World.create()
  const byEnvironment = world.start(['portal'], {
    env: {
      GOLOOADER_LISTEN: '127.0.0.1:0',
      GOLOOADER_DATA: world.dataFolder,
      GOLOOADER_EXPIRY: '90m',
      GOLOOADER_LEASE: '9s',
    },
  })
  const line = await byEnvironment.line((one) => one.startsWith('portal listening on '))
  world.portalUrl = /http:\S+[0-9]/.exec(line)?.[0] ?? ''
  const limits = async () => (await (await fetch(`${world.portalUrl}/v1/limits`)).json()) as Record<string, unknown>
  expect(await limits()).toMatchObject({ expiryMs: 90 * 60_000, leaseMs: 9_000 })
  await world.join(['alice', 'bob'])
  await byEnvironment.stop()

  const byFlag = world.start(['portal', '--lease', '8s', '--listen', '127.0.0.1:0', '--data', world.dataFolder], {
    env: { GOLOOADER_LISTEN: 'nonsense', GOLOOADER_LEASE: '9s' },
  })
  const other = await byFlag.line((one) => one.startsWith('portal listening on '))
  world.portalUrl = /http:\S+[0-9]/.exec(other)?.[0] ?? ''
  expect(await limits()).toMatchObject({ leaseMs: 8_000 })

  const wrong = world.start(['status'], { env: { GOLOOADER_PROFILE: 'alice', GOLOOADER_LIMIT: 'many' } })
  expectUsage(await wrong.ended, /GOLOOADER_LIMIT/, 'a variable that makes no sense')
  await byFlag.stop()

  // The portal has stopped. The answer timeout of send comes from the environment, or from the flag.
  const path = await world.file('a.bin', 10)
  for (const [args, env] of [
    [[], { GOLOOADER_ANSWER_TIMEOUT: '300ms' }],
    [['--answer-timeout', '300ms'], { GOLOOADER_ANSWER_TIMEOUT: '10h' }],
  ] as const) {
    const sending = world.start(['send', path, '--to', 'bob', ...args], { env: { GOLOOADER_PROFILE: 'alice', ...env } })
    expect(await sending.ended).toMatchObject({ code: 5 })
  }
})

test('a machine without a profile can use a token from the environment', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const env = { XDG_CONFIG_HOME: world.path('elsewhere'), GOLOOADER_PORTAL: world.portalUrl }
  const right = await world.start(['status'], { env: { ...env, GOLOOADER_TOKEN: await world.token('alice') } }).ended
  expect(right, right.stderr).toMatchObject({ code: 0 })
  // A secret read from a file often ends with a line break. It cannot contain one.
  const lines = await world.start(['status'], { env: { ...env, GOLOOADER_TOKEN: `${await world.token('alice')}\n` } })
    .ended
  expect(lines, lines.stderr).toMatchObject({ code: 0 })
  const broken = await world.start(['status'], { env: { ...env, GOLOOADER_TOKEN: 'glt_a\nb' } }).ended
  expectUsage(broken, /GOLOOADER_TOKEN has a space, a line break/, 'a token with a line break in it')
  const wrong = await world.start(['status'], { env: { ...env, GOLOOADER_TOKEN: 'nonsense' } }).ended
  expect(wrong.code).toBe(4)
  expect(wrong.stderr).toMatch(/credentials-invalid[\s\S]*golooader join LINK/)
})

test('a reader that closes the pipe early causes no error', async () => {
  await using world = await World.create()
  const help = world.start(['--help'], { wrapper: ['sh', '-c', '"$0" "$@" | head -1'] })
  const { code, stdout, stderr } = await help.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^Usage: golooader/)
})
