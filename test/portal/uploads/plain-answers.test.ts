/**
 * A plain `PUT /v1/to/…` is answered as before there were uploads that continue: `plain-answers.txt` was recorded with the version before
 * them. Only ids, times and the end of a connection differ.
 */
import { expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { TestPortal } from '../portal.ts'

const body = Buffer.from('a file of a few bytes')
const wait = { prefer: 'wait=0' }

const requests: readonly [what: string, headers: Record<string, string>, body?: Buffer][] = [
  ['a file', wait, body],
  ['an empty file', wait, Buffer.alloc(0)],
  ['JSON lines', { ...wait, accept: 'application/jsonl' }, body],
  [
    'without a length',
    { ...wait, 'content-length': '', 'transfer-encoding': 'chunked' },
    Buffer.from('5\r\nhello\r\n0\r\n\r\n'),
  ],
  [
    'a right digest',
    { ...wait, 'repr-digest': 'sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:' },
    Buffer.from('hello'),
  ],
  ['a wrong digest', { ...wait, 'repr-digest': 'sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:' }, body],
  [
    'a wrong digest of the content',
    { ...wait, 'content-digest': 'sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:' },
    body,
  ],
  ['an odd digest', { ...wait, 'repr-digest': 'md5=:AA==:' }, body],
  ['a range', { ...wait, 'content-range': 'bytes 0-20/21' }, body],
  ['a coding', { ...wait, 'content-encoding': 'gzip' }, body],
  ['a form', { ...wait, 'content-type': 'application/x-www-form-urlencoded' }, body],
  ['an odd key', { ...wait, 'idempotency-key': 'again' }, body],
  ['neither length nor content', wait],
  ['a refusal as a problem', { ...wait, accept: 'application/json', 'content-encoding': 'gzip' }, body],
]

function plain(answer: Buffer): string {
  return answer
    .toString()
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID')
    .replaceAll(/Date: [^\r]+/gi, 'date: DATE')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replaceAll(/"eventId":"\d+"/g, '"eventId":"N"')
    .replaceAll('\r\n', '\n')
}

test.each([
  ['plain requests', {}],
  [
    'requests of a version that the portal does not know',
    { 'upload-complete': '?1', 'upload-draft-interop-version': '4' },
  ],
  ['requests without a version', { 'upload-complete': '?1' }],
])('%s are answered byte for byte as before', async (_, more) => {
  const portal = await TestPortal.start()
  const answers: string[] = []
  /** A request with these headers, without those whose value is empty. */
  const ask = async (
    method: string,
    path: string,
    headers: Record<string, string>,
    content?: Buffer,
  ): Promise<string> => {
    const length: Record<string, string> = content === undefined ? {} : { 'content-length': `${content.length}` }
    const all = { authorization: `Bearer ${portal.token('alice')}`, ...length, ...headers, ...more }
    const given = Object.entries({ host: '127.0.0.1', connection: 'close', ...all }).filter(([, value]) => value !== '')
    const head = [`${method} ${path} HTTP/1.1`, ...given.map(([name, value]) => `${name}: ${value}`)].join('\r\n')
    return plain(await portal.raw(Buffer.concat([Buffer.from(`${head}\r\n\r\n`), content ?? Buffer.alloc(0)])))
  }
  for (const method of ['PUT', 'POST']) {
    for (const [what, headers, content] of requests) {
      answers.push(`=== ${method}, ${what}\n${await ask(method, '/v1/to/bob/plan.pdf', headers, content)}`)
    }
  }
  const key = { ...wait, 'idempotency-key': newTransferId() }
  for (const content of [body, body, Buffer.from('another')]) {
    answers.push(`=== under one key\n${await ask('PUT', '/v1/to/bob/plan.pdf', key, content)}`)
  }
  for (const path of ['/v1/to/nobody/plan.pdf', '/v1/to//plan.pdf', '/v1/to/bob,bob/plan.pdf']) {
    answers.push(`=== ${path}\n${await ask('PUT', path, wait, body)}`)
  }
  await expect(answers.join('\n')).toMatchFileSnapshot('plain-answers.txt')
})
