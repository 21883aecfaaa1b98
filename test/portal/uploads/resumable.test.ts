/** Uploads that later requests continue, at one portal and at several that share a ledger and a store. */
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Ledger } from '../../../src/portal/ledger/contract.ts'
import type { Store } from '../../../src/portal/store/contract.ts'
import { Problem } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { begin, type Portal } from '../several.ts'
import { anAppend, content, film, MIB, PART_BYTES, storedContent, transferOf, Uploader } from './resumable.ts'

// Parts of a stream are then no larger than others.
const options = { transferSizeBytesMax: 1024 * MIB }

test.each([
  ['known', film.length],
  ['unknown', null],
])('a file of %s length comes in requests that break anywhere, at two portals in turn', async (_, lengthBytes) => {
  const { store, ada, portal } = await begin(options)
  const portals = [portal('one'), portal('two')]
  const one = await Uploader.create(portals[0] as Portal, ada, { lengthBytes })
  let offset = 0
  for (let turn = 0; turn < 12; turn++) {
    const now = portals[turn % 2] as Portal
    expect(await one.offset(now)).toBe(offset)
    const bytes = film.subarray(offset, offset + Math.floor(Math.random() * 3 * MIB) + 1)
    const source = content(bytes, { breaks: turn % 3 !== 0 })
    const appended = one.append(now, offset, bytes, { source, contentBytes: turn % 4 === 0 ? null : bytes.length })
    if (turn % 3 !== 0) await expect(appended).rejects.toMatchObject({ code: 'part-incomplete' })
    else expect(await appended).toEqual({ offsetBytes: offset + bytes.length, stored: null })
    const told = await one.offset(portals[(turn + 1) % 2] as Portal)
    expect(told).toBeGreaterThanOrEqual(offset)
    expect(told).toBeLessThanOrEqual(offset + bytes.length)
    offset = told
  }
  expect(offset).toBeGreaterThan(PART_BYTES)
  const { stored } = await one.append(portals[0] as Portal, offset, film.subarray(offset), { completes: true })
  if (stored === null) throw new Error('it is not stored')
  expect(stored).toMatchObject({ state: 'stored', sizeBytes: film.length, isSizeKnown: true })
  expect((await storedContent(store, stored)).equals(film)).toBe(true)
  const again = await one.append(portals[1] as Portal, film.length, Buffer.alloc(0), { completes: true })
  expect(again).toMatchObject({ offsetBytes: film.length, stored: { transferId: stored.transferId } })
})

test('a part that a replaced writer stores late, with other content, is not taken for one of the upload, which ends', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const late = Promise.withResolvers<void>()
  const isStoring = Promise.withResolvers<void>()
  // The store of a portal that is paused between the last byte of a part and its name.
  const slow: Store = {
    ...store,
    openPart: async (place, algorithm) => {
      const sink = await store.openPart(place, algorithm)
      return {
        ...sink,
        commit: async (digest) => {
          isStoring.resolve()
          await late.promise
          await sink.commit(digest)
        },
      }
    },
  }
  const [paused, other] = [portal('one', { store: slow }), portal('two')]
  const one = await Uploader.create(paused, ada)
  const lying = Buffer.alloc(PART_BYTES, 'other content ')
  const replaced = one.append(paused, 0, lying)
  await isStoring.promise
  const session = await one.open(other)
  expect(session.state.offsetBytes).toBe(0)
  const first = film.subarray(0, PART_BYTES - 1)
  expect(await session.append(anAppend(0, first))).toEqual({ offsetBytes: first.length, stored: null })
  late.resolve()
  await expect(replaced).rejects.toMatchObject({ code: 'unavailable' })
  await session[Symbol.asyncDispose]()
  const rest = one.append(other, first.length, film.subarray(first.length), { completes: true })
  await expect(rest).rejects.toMatchObject({ code: 'part-conflict' })
  const { transferId } = one
  expect(await transferOf(ledger, transferId)).toMatchObject({ state: 'refused', problem: { code: 'part-conflict' } })
  expect(await ledger.uploadResource({ transferId })).toMatchObject({ writerId: null })
}, 20_000)

/** A place at which a portal stands still. */
function aPause() {
  const reached = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  const before = async (act: () => Promise<void>): Promise<void> => {
    reached.resolve()
    await ended.promise
    await act()
  }
  return { reached: reached.promise, before, end: () => ended.resolve() }
}

test.each([
  ['is verified by its digest', { contentDigests: { update: () => {}, verify: () => {} } }],
  ['is not', {}],
])(
  'a writer that is paused before it removes anything, whose content %s, removes nothing that counts',
  async (_, given) => {
    const { store, ada, portal } = await begin(options)
    const pause = aPause()
    const slow: Store = {
      ...store,
      removePart: (key) => pause.before(() => store.removePart(key)),
      removeParts: (parts) => pause.before(() => store.removeParts(parts)),
    }
    const [paused, other] = [portal('one', { store: slow }), portal('two')]
    const one = await Uploader.create(paused, ada)
    const two = film.subarray(0, 2 * PART_BYTES)
    // A tail, which the next request gives up.
    await one.append(paused, 0, two.subarray(0, 100))
    const rest = two.subarray(100)
    const broken = one.append(paused, 100, rest, { ...given, source: content(rest, { breaks: true }) })
    await pause.reached
    const offset = await one.offset(other)
    expect(await one.append(other, offset, two.subarray(offset))).toEqual({ offsetBytes: two.length, stored: null })
    pause.end()
    await expect(broken).rejects.toThrow()
    const { stored } = await one.append(other, two.length, film.subarray(two.length), { completes: true })
    if (stored === null) throw new Error('it is not stored')
    expect((await storedContent(store, stored)).equals(film)).toBe(true)
  },
  20_000,
)

test('a portal that was killed leaves the next one parts that it had not recorded, and they are stored once', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const isRecording = Promise.withResolvers<void>()
  const killed = portal('one', {
    ledger: {
      ...ledger,
      recordUploaded: () => {
        isRecording.resolve()
        return new Promise(() => {})
      },
    },
  })
  const one = await Uploader.create(killed, ada)
  one.append(killed, 0, film).catch(() => {})
  await isRecording.promise
  const next = portal('two')
  expect(await one.offset(next)).toBe(0)
  const { stored } = await one.append(next, 0, film, { completes: true })
  if (stored === null) throw new Error('it is not stored')
  expect((await storedContent(store, stored)).equals(film)).toBe(true)
}, 20_000)

test('a writer that was replaced removes no part that the newer one has recorded', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const late = Promise.withResolvers<void>()
  const isRecording = Promise.withResolvers<void>()
  // A portal that is paused before the ledger knows of its first part. Its second one is stored already.
  const slow: Ledger = {
    ...ledger,
    recordUploaded: async (...uploaded) => {
      isRecording.resolve()
      await late.promise
      return ledger.recordUploaded(...uploaded)
    },
  }
  const [paused, other] = [portal('one', { ledger: slow }), portal('two')]
  const one = await Uploader.create(paused, ada)
  const replaced = one.append(paused, 0, film)
  await isRecording.promise
  const two = film.subarray(0, 2 * PART_BYTES)
  expect(await one.append(other, 0, two)).toEqual({ offsetBytes: two.length, stored: null })
  late.resolve()
  await expect(replaced).rejects.toMatchObject({ code: 'unavailable' })
  const { stored } = await one.append(other, two.length, film.subarray(two.length), { completes: true })
  if (stored === null) throw new Error('it is not stored')
  expect((await storedContent(store, stored)).equals(film)).toBe(true)
}, 20_000)

test('nothing is told before it survives the loss of power', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const steps: string[] = []
  const watched: Store = {
    ...store,
    openPart: async (place, algorithm) => {
      const sink = await store.openPart(place, algorithm)
      const noted = (commit: Promise<void>): Promise<void> => commit.then(() => void steps.push('stored'))
      return {
        ...sink,
        commit: (digest) => noted(sink.commit(digest)),
        commitAs: (final, digest) => noted(sink.commitAs(final, digest)),
      }
    },
    seal: async (parts) => {
      await store.seal(parts)
      steps.push('sealed')
    },
  }
  const noting: Ledger = {
    ...ledger,
    recordUploaded: async (...uploaded) => {
      const isRecorded = await ledger.recordUploaded(...uploaded)
      steps.push('recorded')
      return isRecorded
    },
  }
  const here = portal('one', { store: watched, ledger: noting })
  const one = await Uploader.create(here, ada)
  const onDurable = (offset: number): void => void steps.push(`told ${offset}`)
  await one.append(here, 0, film.subarray(0, PART_BYTES + 5), { onDurable })
  // The tail may be stored while the part before it is recorded.
  expect(steps.filter((step) => step !== 'stored')).toEqual(
    [PART_BYTES, PART_BYTES + 5].flatMap((offset) => ['sealed', 'recorded', `told ${offset}`]),
  )
  expect(steps[0]).toBe('stored')
  expect(steps.lastIndexOf('stored')).toBeLessThan(steps.lastIndexOf('sealed'))
})

test('the search for orphans leaves what an upload has, and removes what it has given up', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const here = portal('one')
  // A single portal with a ledger of its own removes everything that no upload has.
  const alone = portal('one', {
    ledger: { ...ledger, traits: { isShared: false } },
    store: { ...store, traits: { isShared: false } },
  })
  const one = await Uploader.create(here, ada)
  await one.append(here, 0, film.subarray(0, PART_BYTES + 5))
  await one.append(here, PART_BYTES + 5, film.subarray(PART_BYTES + 5, PART_BYTES + 9))
  const held = async (): Promise<number> => {
    let count = 0
    for await (const _ of store.held()) count++
    return count
  }
  expect(await held()).toBe(3)
  await alone.sweeper.removeOrphans(new AbortController().signal)
  expect(await held()).toBe(3)
  expect(await one.offset(here)).toBe(PART_BYTES + 9)
  await one.append(here, PART_BYTES + 9, film.subarray(PART_BYTES + 9), { completes: true })
  expect(await held()).toBe(1)
})

test('an upload whose tail was damaged in the store is refused, and says so', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const here = portal('one')
  const one = await Uploader.create(here, ada)
  await one.append(here, 0, film.subarray(0, 100))
  const { transferId } = one
  const upload = await ledger.uploadResource({ transferId })
  const [segment] = upload?.tail ?? []
  if (segment === undefined) throw new Error('there is no tail')
  const place = { transferId, ...segment }
  await store.removePart(place)
  const sink = await store.openPart(place)
  await sink.write([Buffer.alloc(100, 'damaged')])
  await sink.commit(segment.digest)
  const restart = portal('two')
  const rest = one.append(restart, 100, film.subarray(100), { completes: true })
  await expect(rest).rejects.toMatchObject({ code: 'store-failed' })
  expect(await transferOf(ledger, transferId)).toMatchObject({ state: 'refused' })
  await expect(one.offset(restart)).rejects.toMatchObject({ code: 'upload-gone', details: { state: 'refused' } })
})

test('a portal that is gone keeps no upload for longer than a moment', async () => {
  const { ledger, ada, portal } = await begin(options)
  const [gone, other] = [portal('one'), portal('two')]
  const one = await Uploader.create(gone, ada)
  const { transferId } = one
  // Its session never ends.
  await one.open(gone)
  expect(await ledger.uploadResource({ transferId })).toMatchObject({ writerId: expect.stringMatching(/^one /) })
  expect(await one.offset(other)).toBe(0)
  expect(await ledger.uploadResource({ transferId })).toMatchObject({ writerId: null })
}, 20_000)

test('small requests add segments to the tail, which are joined when they are many', async () => {
  const { store, ledger, ada, portal } = await begin(options)
  const here = portal('one')
  const one = await Uploader.create(here, ada)
  let most = 0
  for (let offset = 0; offset < 200 * 3; offset += 3) {
    await one.append(here, offset, film.subarray(offset, offset + 3))
    most = Math.max(most, (await ledger.uploadResource(one))?.tail.length ?? 0)
  }
  expect(most).toBe(64)
  const { stored } = await one.append(here, 600, film.subarray(600), { completes: true })
  if (stored === null) throw new Error('it is not stored')
  expect((await storedContent(store, stored)).equals(film)).toBe(true)
})

test.each([
  ['of known length, in the middle of a part', film.length, 100],
  ['of known length, behind a part', film.length, PART_BYTES + 100],
  ['of unknown length, in the middle of a part', null, 100],
  ['of unknown length, behind a part', null, PART_BYTES + 100],
])(
  'what arrives for an upload %s that has ended meanwhile is neither told nor kept',
  async (_, lengthBytes, arriving) => {
    const { store, ledger, ada, portal } = await begin(options)
    for (const breaks of [false, true]) {
      const pause = aPause()
      const slow: Store = {
        ...store,
        openPart: async (...place) => {
          const sink = await store.openPart(...place)
          return {
            ...sink,
            commit: (digest) => pause.before(() => sink.commit(digest)),
            commitAs: (final, digest) => pause.before(() => sink.commitAs(final, digest)),
          }
        },
      }
      const [here, other] = [portal('one', { store: slow }), portal('two')]
      const one = await Uploader.create(here, ada, { lengthBytes })
      const bytes = film.subarray(0, arriving)
      const appended = one.append(here, 0, bytes, { source: content(bytes, { breaks }) })
      await pause.reached
      await other.transfers.cancel(ada, one.transferId, false)
      await until(async () => (await transferOf(ledger, one.transferId)).state === 'cancelled', 'it is over')
      await store.remove(one.transferId)
      pause.end()
      await expect(appended).rejects.toMatchObject({
        code: expect.stringMatching(breaks ? /transfer-closed|part-incomplete/ : /transfer-closed/),
      })
      expect(await ledger.uploadResource(one)).toMatchObject({ offsetBytes: 0, writerId: null })
      const held: string[] = []
      for await (const { generation } of store.held()) held.push(generation)
      expect(held).toEqual([])
    }
  },
)

test('a request that breaks before its first byte leaves nothing', async () => {
  const { ledger, ada, portal } = await begin(options)
  const here = portal('one')
  const one = await Uploader.create(here, ada)
  await one.append(here, 0, film.subarray(0, 100))
  const before = await ledger.uploadResource(one)
  const source = content(Buffer.alloc(0), { breaks: true })
  const broken = one.append(here, 100, film.subarray(100, 200), { source })
  await expect(broken).rejects.toMatchObject({ code: 'part-incomplete' })
  expect(await ledger.uploadResource(one)).toEqual(before)
})

test('a file that takes longer to verify than the upload timeout does not time out meanwhile', async () => {
  const { store, ledger, ada, portal } = await begin({ ...options, uploadTimeoutMs: 1 })
  let extended = 0
  let isVerifying = false
  const here = portal('one', {
    store: {
      ...store,
      read: (...key) => {
        isVerifying = true
        return store.read(...key)
      },
      movePart: async (...move) => {
        isVerifying = true
        await setTimeout(1)
        await store.movePart(...move)
      },
    },
    ledger: {
      ...ledger,
      extendUploadDeadline: (...deadline) => {
        if (isVerifying) extended++
        return ledger.extendUploadDeadline(...deadline)
      },
    },
  })
  const reprDigest = `sha-256=:${createHash('sha256').update(film).digest('base64')}:`
  const one = await Uploader.create(here, ada, { reprDigest })
  const two = 2 * PART_BYTES
  const contentDigests = { update: () => {}, verify: () => {} }
  await one.append(here, 0, film.subarray(0, two), { contentDigests })
  expect(extended, 'while parts that were verified are moved').toBeGreaterThan(0)
  isVerifying = false
  extended = 0
  const { stored } = await one.append(here, two, film.subarray(two), { completes: true })
  expect(stored).toMatchObject({ state: 'stored' })
  expect(extended, 'while the file is read again').toBeGreaterThanOrEqual(3)
})

test.each([100, PART_BYTES + 100])(
  'nothing follows the last of %i bytes of unknown length, whose request ends before the upload is complete',
  async (length) => {
    const { store, ada, portal } = await begin(options)
    const here = portal('one')
    const whole = film.subarray(0, length)
    const onEnd = (): never => {
      throw new Problem('request-invalid')
    }
    const broken = async (): Promise<Uploader> => {
      const one = await Uploader.create(here, ada, { lengthBytes: null })
      const ending = one.append(here, 0, whole, { completes: true, contentBytes: null, onEnd })
      await expect(ending).rejects.toMatchObject({ code: 'request-invalid' })
      await using session = await one.open(here, false)
      expect(session.state).toMatchObject({ offsetBytes: length, lengthBytes: length, isComplete: false })
      return one
    }
    const nothing = Buffer.alloc(0)
    const completed = await (await broken()).append(here, length, nothing, { completes: true, contentBytes: null })
    if (completed.stored === null) throw new Error('it is not stored')
    expect((await storedContent(store, completed.stored)).equals(whole)).toBe(true)
    const longer = await broken()
    const more = longer.append(here, length, film.subarray(length, length + 100))
    await expect(more).rejects.toMatchObject({ code: 'inconsistent-upload-length' })
  },
)

test.each([
  ['known', 2 * PART_BYTES],
  ['unknown', null],
])(
  'small requests without a length, of a file of %s length, are read again only once their part is full',
  async (_, lengthBytes) => {
    // There is no room for a byte more.
    const { store, ledger, ada, portal } = await begin({ ...options, accountBytesMax: 2 * PART_BYTES })
    let reads = 0
    let isAway = false
    const here = portal('one', {
      store: {
        ...store,
        read: (...key) => {
          reads++
          return store.read(...key)
        },
        openPart: (place, algorithm) => {
          if (isAway && place.generation === '') throw new Problem('unavailable')
          return store.openPart(place, algorithm)
        },
      },
    })
    const one = await Uploader.create(here, ada, { lengthBytes })
    const whole = film.subarray(0, 2 * PART_BYTES)
    const steps = 16
    const step = whole.length / steps
    for (let offset = 0; offset < whole.length - step; offset += step) {
      const given = { contentBytes: null, completes: 'at-length' } as const
      const appended = await one.append(here, offset, whole.subarray(offset, offset + step), given)
      expect(appended).toEqual({ offsetBytes: offset + step, stored: null })
      expect(reads).toBe(offset + step < PART_BYTES ? 0 : steps / 2)
    }
    // The store fails once the part is full. What was told counts, and the next request completes it.
    isAway = true
    const given = { contentBytes: null, completes: 'at-length' } as const
    const last = one.append(here, whole.length - step, whole.subarray(whole.length - step), given)
    await expect(last).rejects.toMatchObject({ code: 'unavailable' })
    expect(await one.offset(here)).toBe(whole.length)
    expect((await ledger.uploadResource(one))?.tail).toHaveLength(steps / 2)
    isAway = false
    const { stored } = await one.append(here, whole.length, Buffer.alloc(0), { completes: true, contentBytes: null })
    if (stored === null) throw new Error('it is not stored')
    expect((await storedContent(store, stored)).equals(whole)).toBe(true)
    expect(reads).toBe(steps)
  },
)
