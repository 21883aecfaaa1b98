/** A portal changes what it passes on. Nothing of it appears at the receiver, and the sender learns why. */
import { expect, test } from 'vitest'
import type { Offer, ProblemJson } from '../../../src/protocol/index.ts'
import { AccountKeys, ContentKey, signManifest, verifyManifest } from '../../../src/trust/index.ts'
import type { Running } from '../harness/world.ts'
import { unfinished } from '../second-hop/scene.ts'
import type { Lies } from './evil-portal.ts'
import {
  type Delivered,
  deliver,
  keysOf,
  offerFor,
  offersAs,
  PART_BYTES,
  PART_FLAGS,
  type Scene,
  sceneWith,
} from './scene.ts'

interface Case {
  readonly what: string
  readonly code: string
  readonly isPlain?: boolean
  /** @param old an earlier delivered transfer between the same accounts */
  lies(scene: Scene, old: Delivered): Lies | Promise<Lies>
}

/** The parts of the current transfer. */
const partsNow = ({ evil }: Scene, { transferId }: Offer): Buffer[] => evil.partsOf(transferId)

const cases: readonly Case[] = [
  {
    what: 'the last part is left out, and all sizes and digests say so',
    code: 'seal-broken',
    lies: (scene) => ({
      says: offersAs((offer) =>
        offer.state === 'stored'
          ? offerFor(offer, partsNow(scene, offer).slice(0, -1))
          : { sizeBytes: offer.sizeBytes - offer.partSizeBytes },
      ),
    }),
  },
  {
    what: 'the last part of a transfer without a seal is left out',
    code: 'signature-invalid',
    isPlain: true,
    lies: (scene) => ({
      says: offersAs((offer) =>
        offer.state === 'stored'
          ? offerFor(offer, partsNow(scene, offer).slice(0, -1))
          : { sizeBytes: offer.sizeBytes - offer.partSizeBytes },
      ),
    }),
  },
  {
    what: 'two parts change places',
    code: 'seal-broken',
    lies: ({ evil }) => ({
      gives: ({ transferId, partNumber }, bytes) =>
        (partNumber < 3 ? evil.partsOf(transferId)[2 - partNumber] : undefined) ?? bytes,
    }),
  },
  {
    what: 'a part is that of another transfer of the same sender',
    code: 'seal-broken',
    lies: (_scene, old) => ({ gives: ({ partNumber }, bytes) => (partNumber === 2 ? old.parts[1] : null) ?? bytes }),
  },
  {
    what: 'one bit of a part is another, and its digest fits',
    code: 'seal-broken',
    lies: () => ({
      gives: (_part, bytes) => {
        const changed = Buffer.from(bytes)
        changed[1000] = (changed[1000] ?? 0) ^ 1
        return changed
      },
    }),
  },
  {
    what: 'one bit of the seal of the last part is another',
    code: 'seal-broken',
    lies: () => ({
      gives: ({ partNumber }, bytes) => {
        const changed = Buffer.from(bytes)
        if (partNumber === 3) changed[bytes.length - 1] = (changed[bytes.length - 1] ?? 0) ^ 0x80
        return changed
      },
    }),
  },
  {
    what: 'the metadata is that of another transfer',
    code: 'seal-unopenable',
    lies: (_scene, { offer: { metadata } }) => ({ says: offersAs(() => ({ metadata })) }),
  },
  {
    what: 'the sealed name is that of another transfer',
    code: 'seal-broken',
    lies: (_scene, old) => ({
      says: offersAs(({ metadata }) => {
        if (!('sealed' in old.offer.metadata && 'sealed' in metadata)) throw new Error('not sealed')
        return { metadata: { ...metadata, sealed: old.offer.metadata.sealed } }
      }),
    }),
  },
  {
    what: 'the portal seals another name with a key of its own',
    code: 'seal-broken',
    async lies(scene) {
      const bob = await keysOf(scene.world, 'bob')
      return {
        says: offersAs(async ({ transferId }) => {
          const key = await ContentKey.generate(transferId)
          const wrapped = await key.wrap({ transferId, from: 'alice', to: 'bob' }, bob.publicKeys)
          return { metadata: { sealed: await key.sealMetadata({ name: 'forged.exe' }), keys: { bob: wrapped } } }
        }),
      }
    },
  },
  {
    what: 'the manifest is taken away',
    code: 'signature-missing',
    lies: () => ({ says: offersAs(() => ({ manifest: null })) }),
  },
  {
    what: 'the manifest of a transfer without a seal is taken away',
    code: 'signature-missing',
    isPlain: true,
    lies: () => ({ says: offersAs(() => ({ manifest: null })) }),
  },
  {
    what: 'the manifest is that of another transfer',
    code: 'signature-invalid',
    lies: (_scene, { offer: { manifest } }) => ({
      says: offersAs(({ state }) => (state === 'stored' ? { manifest } : {})),
    }),
  },
  {
    what: 'the manifest says the same, and is signed by the portal',
    code: 'signature-invalid',
    async lies(scene) {
      const alice = (await keysOf(scene.world, 'alice')).publicKeys
      const own = await AccountKeys.generate()
      return {
        says: offersAs(async ({ manifest }) =>
          manifest === null ? {} : { manifest: await signManifest(await verifyManifest(manifest, alice), own) },
        ),
      }
    },
  },
  {
    what: 'a sealed transfer is offered as one without a seal, with content of the portal',
    code: 'signature-invalid',
    lies: () => {
      const parts = [Buffer.from('run me')]
      return {
        says: offersAs((offer) => ({ metadata: { name: 'invoice.exe' }, ...offerFor(offer, parts) })),
        gives: () => Buffer.concat(parts),
      }
    },
  },
  {
    what: 'a sealed transfer is offered as one without seal and signature',
    code: 'signature-missing',
    lies: () => {
      const parts = [Buffer.from('run me')]
      return {
        says: offersAs((offer) => ({
          metadata: { name: 'invoice.exe' },
          ...offerFor(offer, parts),
          manifest: null,
        })),
        gives: () => Buffer.concat(parts),
      }
    },
  },
  {
    what: 'the content of a transfer without a seal is another, and all digests fit',
    code: 'signature-invalid',
    isPlain: true,
    lies: (scene) => {
      const changed = (parts: readonly Buffer[]) => parts.map((bytes) => Buffer.alloc(bytes.length, 7))
      return {
        says: offersAs((offer) => (offer.state === 'stored' ? offerFor(offer, changed(partsNow(scene, offer))) : {})),
        gives: (_part, bytes) => Buffer.alloc(bytes.length, 7),
      }
    },
  },
  {
    what: 'the name of a transfer without a seal is another',
    code: 'signature-invalid',
    isPlain: true,
    lies: () => ({ says: offersAs(() => ({ metadata: { name: 'invoice.exe' } })) }),
  },
  {
    what: 'the name of a transfer without a seal is another, until it is stored',
    code: 'signature-invalid',
    isPlain: true,
    lies: () => ({ says: offersAs(({ state }) => (state === 'stored' ? {} : { metadata: { name: 'invoice.exe' } })) }),
  },
  {
    what: 'another sender is named',
    code: 'seal-unopenable',
    lies: () => ({ says: offersAs(() => ({ from: 'carol' })) }),
  },
  {
    what: 'another sender is named for a transfer without a seal',
    code: 'signature-invalid',
    isPlain: true,
    lies: () => ({ says: offersAs(() => ({ from: 'carol' })) }),
  },
]

/** Applies the change of each case to its transfer, by the name of the sent file. */
async function liesFor(scene: Scene, some: readonly Case[], old: Delivered, sending: Running): Promise<Lies> {
  const lies = await Promise.all(some.map((one) => one.lies(scene, old)))
  const known = new Map<unknown, Lies>()
  return {
    async says(said, about) {
      if (!('leaseId' in said)) return said
      const { transferId } = said
      const { path } = await sending.object((line) => line.phase === 'started' && line.transferId === transferId)
      const own = lies[Number(/case-(\d+)\.bin$/.exec(String(path))?.[1])] ?? {}
      known.set(transferId, own)
      return own.says?.(said, about) ?? said
    },
    gives: (part, bytes) => known.get(part.transferId)?.gives?.(part, bytes) ?? bytes,
  }
}

test.each([
  ['sealed', [], cases.filter(({ isPlain }) => isPlain !== true)],
  ['not sealed', ['--plain'], cases.filter(({ isPlain }) => isPlain === true)],
])('a transfer, %s, that the portal changes is not published, and its sender learns why', async (_, flags, some) => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world, evil } = scene
  await world.receiver('bob')
  const old = await deliver(scene, 'old.bin', 3)
  const paths = await Promise.all(some.map((_one, index) => world.file(`case-${index}.bin`, 3 * PART_BYTES)))
  const sending = world.send(paths, 'bob', ...PART_FLAGS, ...flags)
  evil.lies = await liesFor(scene, some, old, sending)

  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(3)
  const told = sending.json.filter(({ notification }) => notification === 'failed' || notification === 'delivered')
  const { transfers } = sending.json.at(-1) as { transfers?: { path: string; transferId: string }[] }
  const codes = some.map(({ what }, index) => {
    const transferId = transfers?.find(({ path }) => path === paths[index])?.transferId
    const answers = told.filter((one) => one.transferId === transferId)
    return [
      what,
      answers.map(({ notification, problem }) => [notification, (problem as ProblemJson | undefined)?.code]),
    ]
  })
  expect(codes).toEqual(some.map((one) => [one.what, [['failed', one.code]]]))
  expect(await world.received('bob')).toEqual(['old.bin'])
  expect(await unfinished(world, 'bob')).toEqual([])

  // Once the portal is honest again, a transfer between the same accounts succeeds.
  evil.lies = {}
  await deliver(scene, 'new.bin', 3)
  expect(await world.received('bob')).toEqual(['new.bin', 'old.bin'])
})
