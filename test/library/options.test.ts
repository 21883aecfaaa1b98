/** Calls of the library with missing or unknown options, which plain JavaScript allows. */
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as library from '../../src/index.ts'
import { portalDefaults } from '../../src/portal/index.ts'
import { testFolder } from '../suites/folder.ts'

/** Calls a method by name, without type checks. */
function call(object: object, name: string): (...args: readonly unknown[]) => unknown {
  return (...args) => Reflect.apply(Reflect.get(object, name), object, args)
}

process.env.XDG_CONFIG_HOME = '/nonexistent/config'
process.env.GOLOOADER_PORTAL = 'http://127.0.0.1:9'
process.env.GOLOOADER_TOKEN = 'glt_none'
const me = await library.openProfile()
const [send, receive] = [call(me, 'send'), call(me, 'receive')]
const [openProfile, join] = [call(library, 'openProfile'), call(library, 'join')]
const [startPortal, openAccounts] = [call(library, 'startPortal'), call(library, 'openAccounts')]
const verifyReceipt = call(library, 'verifyReceipt')

const sendLink = `https://a.example/g#glgp_${'A'.repeat(43)}.${'b'.repeat(24)}`

const calls: readonly (readonly [act: () => unknown, detail: RegExp])[] = [
  [() => openProfile({ insecure: true }), /openProfile\(\) needs 'name': a string/],
  [() => openProfile('alice', { insecur: true }), /no option 'insecur'. Did you mean 'insecure'\?/],
  [() => join(), /join\(\) needs 'link': a string/],
  [() => join('nonsense'), /not the link of an invite/],
  [() => send('a.txt'), /send\(\) takes an object of options/],
  [() => send('a.txt', {}), /send\(\) needs 'to': the name of an account/],
  [() => send('a.txt', { link: { take: 2 } }), /in 'link', has no option 'take'. Did you mean 'takes'\?/],
  [() => send('a.txt', { link: { takes: 33 } }), /a link can be taken from 1 to 32 times/],
  [() => send('a.txt', { link: { takes: 32 }, to: 'bob' }), /a link can be taken from 1 to 31 times/],
  [() => send('a.txt', { link: { passphrase: '' } }), /the passphrase of a link must not be empty/],
  [() => send('a.txt', { link: {}, plain: true }), /always sealed/],
  [() => send(['a.txt', 'b.txt'], { link: {} }), /a link is for one file or folder/],
  [() => call(me, 'request')({ label: 'a'.repeat(161) }), /a label has 160 characters at most/],
  [() => call(me, 'request')({ filesMax: 0 }), /a request takes from 1 to 10000 files/],
  [() => call(me, 'closeRequest')('x'), /'x' is not the id of a request/],
  [() => call(library, 'openRequest')('https://a.example/g#x'), /not the link of a request for files/],
  [() => call(library, 'receiveLink')('https://a.example/g#x', 'in'), /not a link to receive by/],
  [() => call(library, 'receiveLink')(sendLink, 'in'), /this link needs its passphrase/],
  [() => call(library, 'receiveLink')(sendLink, 'in', { create: true }), /has no option 'create'/],
  [() => call(library, 'receiveLinkInto')(sendLink, 'in'), /needs a writable stream/],
  [() => send(undefined, { to: 'bob' }), /send\(\) needs 'paths': an array of strings/],
  [() => send('a.txt', { to: 5 }), /send\(\) needs 'to': a string or an array of strings, not 5/],
  [() => send('a.txt', { to: 'bob', exclude: [5] }), /needs 'exclude': a string or an array of strings, not an array/],
  [() => send('a.txt', { to: 'Bob' }), /'Bob' cannot be the name of an account/],
  [() => send('a.txt', { to: [] }), /needs 'to': the name of an account/],
  [() => send('a.txt', { to: 'bob', until: 'sent' }), /needs 'until': 'delivered' or 'stored'/],
  [() => send('a.txt', { to: 'bob', signal: {} }), /send\(\) needs 'signal': an AbortSignal/],
  [() => send('a.txt', { to: 'bob', partSizeByte: 1 }), /no option 'partSizeByte'. Did you mean 'partSizeBytes'\?/],
  [() => receive(), /receive\(\) needs 'folder': a string/],
  [() => receive('in', { into: 'in' }), /receive\(\) has no option 'into'/],
  [() => receive('in', null), /receive\(\) takes an object of options/],
  [() => call(me, 'sent')({ limit: 'all' }), /sent\(\) needs 'limit': a number from 0 on/],
  [() => call(me, 'transfer')('x'), /'x' is not the id of a transfer/],
  [() => call(me, 'receipts')('x', { to: 'bob' }), /receipts\(\) has no option 'to'/],
  [() => call(me, 'trust')('bob', 'x'), /'x' is not a fingerprint/],
  [() => verifyReceipt(), /verifyReceipt\(\) needs 'path': a string/],
  [() => verifyReceipt('a', '{}', { fingerprint: 'x' }), /'x' is not a fingerprint/],
  [
    () => startPortal({ dataFoldr: './elsewhere' }),
    /startPortal\(\) has no option 'dataFoldr'. Did you mean 'dataFolder'\?/,
  ],
  [() => startPortal({ port: 7878 }), /startPortal\(\) has no option 'port'/],
  [() => startPortal({ listenPort: '7878' }), /startPortal\(\) needs 'listenPort': a number from 0 on/],
  [() => startPortal({ tls: { certPath: 'a' } }), /in 'tls', needs 'keyPath': a string/],
  [() => startPortal(null), /startPortal\(\) takes an object of options/],
  [() => openAccounts({ data: '.' }), /openAccounts\(\) has no option 'data'/],
]

test.each(calls)('%s says what it lacks, with a code', async (act, detail) => {
  const failure = expect(async () => await act()).rejects
  await failure.toBeInstanceOf(library.GoLooaderError)
  await expect(async () => await act()).rejects.toMatchObject({
    code: 'options-invalid',
    problem: { code: 'options-invalid', status: 400, detail: expect.stringMatching(detail) },
    cause: expect.any(Error),
  })
})

test('an unsafe address, and one that does not answer, are reported with their codes', async () => {
  process.env.GOLOOADER_PORTAL = 'http://192.0.2.1'
  await expect(library.openProfile()).rejects.toMatchObject({ code: 'insecure-transport' })
  await expect(me.sent({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
})

test('a portal with a misspelt option creates no folder; an option of undefined takes the default', async () => {
  expect(existsSync('golooader-data')).toBe(false)
  const dataFolder = await testFolder()
  const options = { dataFolder, listenPort: 0, publicUrl: undefined, leaseMs: undefined }
  const running = (await startPortal(options)) as library.Portal
  const limits = (await (await fetch(`${running.url}/v1/limits`)).json()) as { leaseMs: number }
  expect(limits.leaseMs).toBe(portalDefaults.leaseMs)
  await running.close()
})

test('account management beside a portal shows the same as within its process', async () => {
  const dataFolder = await testFolder()
  expect(await library.openAccounts({ dataFolder })).toBeNull()
  await using portal = await library.startPortal({ dataFolder, listenPort: 0 })
  expect(await portal.invite('alice', { isOperator: true })).toMatch(`${portal.url}/join#gli_`)
  await using accounts = (await library.openAccounts({ dataFolder })) ?? expect.fail('no portal')
  expect(await accounts.list()).toEqual(await portal.accounts.list())
  expect(await accounts.list()).toMatchObject([{ account: 'alice', state: 'invited' }])
  await expect(accounts.revoke('bob')).rejects.toBeInstanceOf(library.GoLooaderError)
  await expect(accounts.revoke('bob')).rejects.toMatchObject({ code: 'account-unknown' })
  await expect(portal.invite('Alice')).rejects.toMatchObject({ code: 'options-invalid' })
})
