/** Clients of tus that other people wrote send files, and nothing that happens on the way loses or doubles one. */
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { Upload } from 'tus-js-client'
import { describe, expect, test } from 'vitest'
import { openLedger } from '../../../src/portal/index.ts'
import { isTransferId } from '../../../src/protocol/index.ts'
import { until, type World } from '../harness/world.ts'
import {
  expectDelivered,
  KIB,
  MIB,
  type Protocol,
  refusalOf,
  startUpload,
  type TusOptions,
  tusUpload,
  tusWorld,
} from './scene.ts'

/** Resolves when the first part of alice's upload counts. A request for its offset would end the upload. */
async function partRecorded(world: World): Promise<void> {
  const client = await world.client('alice')
  await until(async () => (await client.transfers()).transfers.length > 0, 'it has begun')
  const [{ transferId } = { transferId: '' }] = (await client.transfers()).transfers
  const ledger = await openLedger(world)
  try {
    const isRecorded = async () => ((await ledger.uploadResource({ transferId }))?.offsetBytes ?? 0) > 0
    await until(isRecorded, 'a part is recorded')
  } finally {
    await ledger.close()
  }
}

describe('tus-js-client', () => {
  test('gets the first notification with its last answer, and can ask for the second', async () => {
    const { world, endpoint, headers, metadata } = await tusWorld()
    const path = await world.file('source', 20 * MIB)
    const { header, url } = await tusUpload(createReadStream(path), { endpoint, headers, metadata })
    expect(header('GoLooader-Notification')).toBe('stored')
    const transferId = header('GoLooader-Transfer') ?? ''
    expect(isTransferId(transferId)).toBe(true)
    expect(url).toMatch(/\/v1\/tus\/[A-Za-z0-9_-]{43}$/)

    await world.receiver('bob')
    await expectDelivered(world, path)
    const asked = await fetch(`${world.portalUrl}/v1/transfers/${transferId}/events?after=0`, { headers })
    const { events } = (await asked.json()) as { events: { notification: string; receiver?: string }[] }
    expect(events.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
    const { metadata: told } = await (await world.client('alice')).transfer(transferId)
    expect(told).toEqual({ name: 'report.pdf', mediaType: 'application/pdf' })
  })

  const ways: readonly (readonly [string, TusOptions])[] = [
    ['in requests of a tenth', { chunkSize: MIB / 4 }],
    ['with the first bytes in the creation', { uploadDataDuringCreation: true, chunkSize: MIB }],
    ['with all bytes in the creation', { uploadDataDuringCreation: true }],
    ['without PATCH, which a proxy may not know', { overridePatchMethod: true }],
    ['without a length before the end', { uploadLengthDeferred: true, chunkSize: MIB }],
  ]
  test.each(ways)('sends a file %s', async (_way, options) => {
    const { world, endpoint, headers, metadata } = await tusWorld()
    await world.receiver('bob')
    const path = await world.file('source', 2.5 * MIB)
    // Where the length is deferred, tus-js-client announces more bytes than a file has, so it gets a stream that is no file.
    const file = createReadStream(path)
    const source = options.uploadLengthDeferred === true ? Readable.from(file) : file
    const uploaded = await tusUpload(source, { endpoint, headers, metadata, ...options })
    expect(uploaded.header('GoLooader-Notification')).toBe('stored')
    await expectDelivered(world, path)
  })

  test('sends an empty file', async () => {
    const { world, endpoint, headers, metadata } = await tusWorld()
    await world.receiver('bob')
    const { header } = await tusUpload(Buffer.alloc(0), { endpoint, headers, metadata })
    expect(header('GoLooader-Notification')).toBe('stored')
    await expectDelivered(world, await world.file('empty', 0))
  })

  test('an online receiver has what was uploaded of a file before its upload ends', async () => {
    const { world, network, endpoint, headers, metadata } = await tusWorld()
    const bob = await world.receiver('bob')
    const path = await world.file('source', 40 * MIB)
    const fetched = Promise.withResolvers<void>()
    network.rule = ({ method, count }) => (method === 'PATCH' && count === 2 ? { heldUntil: fetched.promise } : null)
    const uploaded = tusUpload(createReadStream(path), { endpoint, headers, metadata, chunkSize: 20 * MIB })
    await bob.object((line) => line.type === 'fetching' && Number(line.heldBytes) >= 16 * MIB)
    const [transfer] = (await (await world.client('alice')).transfers()).transfers
    expect(transfer?.state).toBe('receiving')
    fetched.resolve()
    await uploaded
    await expectDelivered(world, path)
  })

  const protocols: readonly Protocol[] = ['tus-v1', 'ietf-draft-03', 'ietf-draft-05']
  test.each(protocols)('resumes a %s upload that is cut at each kibibyte', async (protocol) => {
    const { world, network, endpoint, headers, metadata } = await tusWorld()
    await world.receiver('bob')
    const path = await world.file('source', 24 * KIB + 1)
    network.rule = ({ method }) => (method === 'PATCH' ? { passRequestBytes: KIB } : null)
    const target = protocol === 'tus-v1' ? endpoint : `${network.url}/v1/to/bob/report.pdf`
    const offsets: number[] = []
    const onAfterResponse: TusOptions['onAfterResponse'] = (request, response) => {
      if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')))
    }
    await tusUpload(await readFile(path), { endpoint: target, headers, metadata, protocol, onAfterResponse })
    // Each request brings a kibibyte further, unless the portal was too slow to read it; the last one has less than that.
    expect([...new Set(offsets)].filter((offset) => offset > 0)).toEqual(
      Array.from({ length: 24 }, (_, i) => (i + 1) * KIB),
    )
    await expectDelivered(world, path)
  })

  test.each(protocols)('resumes a %s upload after the portal was killed', async (protocol) => {
    const { world, portal, network, endpoint, headers, metadata } = await tusWorld()
    await world.receiver('bob')
    const path = await world.file('source', 40 * MIB)
    network.rule = ({ method, count }) => (method === 'PATCH' && count === 1 ? { bytesPerSecond: 16 * MIB } : null)
    const target = protocol === 'tus-v1' ? endpoint : `${network.url}/v1/to/bob/report.pdf`
    const offsets: number[] = []
    // Of a file, tus-js-client says in the last of several requests of a draft that more will follow.
    const source = protocol === 'tus-v1' ? createReadStream(path) : await readFile(path)
    const uploaded = tusUpload(source, {
      ...{ endpoint: target, headers, metadata, protocol },
      onAfterResponse: (request, response) => {
        if (request.getMethod() === 'HEAD') offsets.push(Number(response.getHeader('Upload-Offset')))
      },
    })
    await partRecorded(world)
    await portal.stop('SIGKILL')
    await world.portal()
    await uploaded
    expect(Math.max(...offsets)).toBeGreaterThan(0)
    await expectDelivered(world, path)
  })

  test('finds a completed upload again whose last answer was lost', async () => {
    const { world, network, endpoint, headers, metadata } = await tusWorld()
    await world.receiver('bob')
    const path = await world.file('source', 3 * MIB)
    network.rule = ({ method }) => (method === 'PATCH' ? { loseAnswer: true } : null)
    const { header } = await tusUpload(await readFile(path), { endpoint, headers, metadata })
    expect(network.count('PATCH', /./)).toBe(1)
    expect(header('GoLooader-Notification')).toBe('stored')
    await expectDelivered(world, path)
  })

  test('continues in another process, by the address of the upload', async () => {
    const { world, network, endpoint, headers, metadata } = await tusWorld()
    await world.receiver('bob')
    const path = await world.file('source', 3 * MIB)
    network.rule = ({ method, count }) => (method === 'PATCH' && count === 1 ? { passRequestBytes: MIB } : null)
    const first = startUpload(await readFile(path), { endpoint, headers, metadata, retryDelays: null })
    await expect(first.ended).rejects.toThrow()
    const uploadUrl = first.upload.url
    expect(uploadUrl).not.toBe(null)
    const offsets: number[] = []
    const onProgress = (bytes: number) => void offsets.push(bytes)
    await tusUpload(await readFile(path), { uploadUrl, headers, onProgress })
    expect(offsets[0]).toBe(MIB)
    await expectDelivered(world, path)
  })

  test('ends an upload, and nothing of it stays', async () => {
    const { world, network, endpoint, headers, metadata } = await tusWorld()
    network.rule = ({ method }) => (method === 'PATCH' ? { passRequestBytes: 9 * MIB } : null)
    const first = startUpload(Buffer.alloc(20 * MIB, 'x'), { endpoint, headers, metadata, retryDelays: null })
    await expect(first.ended).rejects.toThrow()
    expect((await world.stored()).length).toBeGreaterThan(0)
    await Upload.terminate(first.upload.url ?? '', { headers })
    await until(async () => (await world.stored()).length === 0, 'nothing of it lies in the store')
    const { status } = await fetch(first.upload.url ?? '', { headers: { ...headers, 'Tus-Resumable': '1.0.0' } })
    expect([404, 410]).toContain(status)
    const [transfer] = (await (await world.client('alice')).transfers()).transfers
    expect(transfer?.state).toBe('cancelled')
  })

  test('is refused with a reason: receivers that do not exist, a file that is too large, uploads in parallel', async () => {
    const { endpoint, headers, metadata } = await tusWorld(['--max-transfer', '1MiB'])
    const send = (sizeBytes: number, options: TusOptions) =>
      refusalOf(tusUpload(Buffer.alloc(sizeBytes, 'x'), { endpoint, headers, metadata, ...options }))
    expect(await send(1, { metadata: { ...metadata, to: 'bob,nobody' } })).toEqual({
      status: 404,
      code: 'receiver-unknown',
    })
    expect(await send(2 * MIB, {})).toEqual({ status: 413, code: 'transfer-too-large' })
    expect(await send(2 * KIB, { parallelUploads: 2 })).toEqual({ status: 400, code: 'request-invalid' })
    expect(await send(1, { headers: {} })).toEqual({ status: 401, code: 'credentials-missing' })
  })
})
