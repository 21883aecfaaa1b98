/** HTTP clients of other projects, from Debian, send a file in one request. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { formatContentDigest } from '../../src/protocol/index.ts'
import { sha256Of, until } from '../e2e/harness/world.ts'
import { handWorld, MIB } from '../e2e/one-request/curl.ts'
import { programPath, requireServer } from '../servers/install.ts'

/** Without it both wgets call the file a form, and the portal refuses it with 415. */
const BYTES = 'Content-Type: application/octet-stream'

/** What a client printed, and its exit code. */
async function ended(child: ChildProcess): Promise<{ said: string; code: number | null }> {
  const streams = [child.stdout, child.stderr].map((stream) => (stream === null ? '' : text(stream)))
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { said: (await Promise.all(streams)).join(''), code: await closed }
}

async function scene() {
  const { world, authorization } = await handWorld()
  await world.receiver('bob')
  const path = await world.file('report.bin', 3 * MIB)
  const url = `${world.portalUrl}/v1/to/bob/report.bin`
  const expectReceived = async (): Promise<void> => {
    expect(await world.received('bob')).toEqual(['report.bin'])
    expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
  }
  return { world, path, url, authorization, expectReceived }
}

test('HTTPie streams a file from its standard input', async () => {
  await requireServer('httpie')
  const { path, url, authorization, expectReceived } = await scene()
  const child = spawn(programPath('http'), ['PUT', url, authorization.replace(': ', ':')])
  createReadStream(path).pipe(child.stdin)
  const { said, code } = await ended(child)
  // It asks for JSON.
  expect(said).toContain('"notification":"delivered","receiver":"bob"')
  expect(code).toBe(0)
  await expectReceived()
})

test('wget2 sends a file, and reads the final answer', async () => {
  await requireServer('wget2')
  const { path, url, authorization, expectReceived } = await scene()
  const args = ['-q', '-O', '-', `--post-file=${path}`, `--header=${authorization}`, `--header=${BYTES}`, url]
  const { said, code } = await ended(spawn(programPath('wget2'), args))
  expect(said).toMatch(/^delivered bob/m)
  expect(code).toBe(0)
  await expectReceived()
})

test('busybox wget sends a text completely, but a file only up to its first NUL byte: a digest detects it', async () => {
  await requireServer('busybox')
  const { world, path, url, authorization } = await scene()
  const post = async (file: string, ...headers: string[]) => {
    const fields = [authorization, BYTES, ...headers].flatMap((field) => ['--header', field])
    return ended(spawn(programPath('busybox'), ['wget', '-q', '-O', '-', ...fields, '--post-file', file, url]))
  }
  const textPath = world.path('text')
  await writeFile(textPath, 'a text\n'.repeat(100))
  expect((await post(textPath)).said).toMatch(/^delivered bob/m)
  expect(await readFile(`${world.inbox('bob')}/report.bin`, 'utf8')).toBe(await readFile(textPath, 'utf8'))

  const digest = formatContentDigest('sha-256', digestOf('sha-256', await readFile(path)))
  const { said, code } = await post(path, `Repr-Digest: ${digest}`)
  expect(said).toContain('400 Bad Request')
  expect(code).toBe(1)
  expect(await world.received('bob')).toEqual(['report.bin'])
})

test('fetch of Node streams a file, and ignores interim responses', async () => {
  const { path, url, authorization, expectReceived } = await scene()
  const [name = '', value = ''] = authorization.split(': ')
  const answer = await fetch(url, {
    method: 'PUT',
    headers: { [name]: value, prefer: 'interim', 'content-length': String((await stat(path)).size) },
    body: Readable.toWeb(createReadStream(path)) as ReadableStream,
    duplex: 'half',
  } as RequestInit)
  expect(answer.status).toBe(200)
  expect(await answer.text()).toMatch(/^delivered bob/m)
  await expectReceived()
})

/** Sends a file by tuspy: the first MiB by one uploader, the rest by another that knows only the address. */
/** The modules of Debian's packages belong to it. */
const DEBIAN_PYTHON = '/usr/bin/python3'
const TUSPY = `
import sys
from tusclient.client import TusClient
url, path, token = sys.argv[1:4]
client = TusClient(url, headers={"Authorization": token})
metadata = {"filename": "report.bin", "to": "bob"}
uploader = client.uploader(path, chunk_size=1024 * 1024, metadata=metadata, upload_checksum=True)
uploader.upload_chunk()
resumed = client.uploader(path, chunk_size=1024 * 1024, url=uploader.url, upload_checksum=True)
print(resumed.offset)
resumed.upload()
print(resumed.request.response_headers["golooader-notification"])
`

test('tuspy sends a file by tus, with a checksum for each request, and resumes', async () => {
  await requireServer('tuspy')
  const { world, path, authorization, expectReceived } = await scene()
  const args = ['-c', TUSPY, `${world.portalUrl}/v1/tus`, path, authorization.replace('Authorization: ', '')]
  const { said, code } = await ended(spawn(DEBIAN_PYTHON, args))
  expect(said).toBe(`${MIB}\nstored\n`)
  expect(code).toBe(0)
  const bobHasIt = async () => (await world.received('bob')).length > 0
  await until(bobHasIt, 'it is delivered')
  await expectReceived()
})
