/**
 * BLAKE3 in WebAssembly, four leaves at a time: thirty times as fast as in JavaScript. Only the worker that hashes parts uses it, because
 * only the worker's Content-Security-Policy allows WebAssembly (`portal/http/security-headers.ts`).
 */
import { toHex } from '../protocol/index.ts'
import { blake3BlockBytes, blake3Lanes, blake3Module, type Compress4 } from './blake3-module.ts'
import type { DigestDriver, Hasher } from './driver.ts'

/** Flags of the BLAKE3 paper, section 2.2. */
const LEAF_START = 1
const LEAF_END = 2
const PARENT = 4
const ROOT = 8

const LEAF_BYTES = 1024
const LEAF_BLOCKS = LEAF_BYTES / blake3BlockBytes
const VALUE_BYTES = 32

/** The leaves of a whole subtree. They fit into the processor's cache. */
const GROUP_LEAVES = 64
const GROUP_BYTES = GROUP_LEAVES * LEAF_BYTES

/** Addresses in the module's memory: the group, the chaining values of its nodes, those of the subtrees before it. */
const INPUT = 0
const VALUES = GROUP_BYTES
const SUBTREES = VALUES + (GROUP_LEAVES + blake3Lanes) * VALUE_BYTES
const PAGES = 2
/** The counter of leaves has 32 bits here. */
const LEAVES_MAX = 2 ** 32

/** An instance of the module computes one digest at a time. */
interface Instance {
  readonly compress4: Compress4
  readonly bytes: Uint8Array
}

/**
 * @returns null where WebAssembly is not available: a user or an administrator may switch it off, and a proxy may send another
 * policy. The caller then computes in JavaScript, which is slower.
 */
export async function compiledBlake3(): Promise<DigestDriver | null> {
  try {
    const module = await WebAssembly.compile(blake3Module(PAGES))
    const idle = [instanceOf(module)]
    return {
      name: 'blake3',
      create() {
        const instance = idle.pop() ?? instanceOf(module)
        const hasher = new TreeHasher(instance)
        return {
          update: (bytes) => hasher.update(bytes),
          digest() {
            const digest = hasher.digest()
            idle.push(instance)
            return digest
          },
        }
      },
    }
  } catch {
    return null
  }
}

function instanceOf(module: WebAssembly.Module): Instance {
  const { exports } = new WebAssembly.Instance(module)
  const { compress4, memory } = exports as { compress4: Compress4; memory: WebAssembly.Memory }
  return { compress4, bytes: new Uint8Array(memory.buffer) }
}

/** The tree of the BLAKE3 paper, section 2.1: leaves of 1 KiB are its leaves. */
class TreeHasher implements Hasher {
  readonly #compress4: Compress4
  readonly #memory: Uint8Array
  /** Bytes of the present group. */
  #filledBytes = 0
  /** Leaves before the present group. */
  #leafCount = 0
  #subtreeCount = 0

  constructor({ compress4, bytes }: Instance) {
    this.#compress4 = compress4
    this.#memory = bytes
  }

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      // A group that may be the last one waits for the end, because the root of the tree has a flag.
      if (this.#filledBytes === GROUP_BYTES) this.#endGroup()
      const slice = bytes.subarray(at, at + GROUP_BYTES - this.#filledBytes)
      this.#memory.set(slice, INPUT + this.#filledBytes)
      this.#filledBytes += slice.length
      at += slice.length
    }
  }

  digest(): string {
    const before = Math.max(0, Math.ceil(this.#filledBytes / LEAF_BYTES) - 1)
    this.#hashLeaves(before)
    for (let leaf = 0; leaf < before; leaf++) {
      this.#push(VALUES + leaf * VALUE_BYTES, this.#leafCount + leaf + 1)
    }
    this.#hashLastLeaf(before)
    while (this.#subtreeCount > 1) this.#merge(this.#subtreeCount === 2 ? PARENT | ROOT : PARENT)
    return toHex(this.#memory.subarray(SUBTREES, SUBTREES + VALUE_BYTES))
  }

  #endGroup(): void {
    if (this.#leafCount >= LEAVES_MAX - GROUP_LEAVES) throw new RangeError('the content is too long')
    this.#hashLeaves(GROUP_LEAVES)
    for (let parents = GROUP_LEAVES / 2; parents >= 1; parents /= 2) {
      for (let from = 0; from < parents; from += blake3Lanes) {
        const input = VALUES + from * 2 * VALUE_BYTES
        this.#compress4(input, blake3BlockBytes, 1, 0, 0, PARENT, 0, 0, blake3BlockBytes, VALUES + from * VALUE_BYTES)
      }
    }
    this.#leafCount += GROUP_LEAVES
    this.#push(VALUES, this.#leafCount / GROUP_LEAVES)
    this.#filledBytes = 0
  }

  /** Computes the chaining values of whole leaves of the present group. Those of a few leaves more have no meaning. */
  #hashLeaves(count: number): void {
    for (let from = 0; from < count; from += blake3Lanes) {
      const [input, output] = [INPUT + from * LEAF_BYTES, VALUES + from * VALUE_BYTES]
      const counter = this.#leafCount + from
      this.#compress4(input, LEAF_BYTES, LEAF_BLOCKS, counter, 1, 0, LEAF_START, LEAF_END, blake3BlockBytes, output)
    }
  }

  /** @param leaf its number in the present group */
  #hashLastLeaf(leaf: number): void {
    const input = INPUT + leaf * LEAF_BYTES
    const lengthBytes = this.#filledBytes - leaf * LEAF_BYTES
    const blocks = Math.max(1, Math.ceil(lengthBytes / blake3BlockBytes))
    this.#memory.fill(0, input + lengthBytes, input + blocks * blake3BlockBytes)
    const flags = this.#subtreeCount === 0 ? LEAF_END | ROOT : LEAF_END
    const lastBytes = lengthBytes - (blocks - 1) * blake3BlockBytes
    const counter = this.#leafCount + leaf
    this.#compress4(input, 0, blocks, counter, 0, 0, LEAF_START, flags, lastBytes, this.#end)
    this.#subtreeCount++
  }

  /** Adds a subtree, and merges those that are whole with it. @param count how many subtrees of this size there are now */
  #push(value: number, count: number): void {
    this.#memory.copyWithin(this.#end, value, value + VALUE_BYTES)
    this.#subtreeCount++
    for (let whole = count; whole % 2 === 0; whole /= 2) this.#merge(PARENT)
  }

  /** Makes one subtree of the last two. */
  #merge(flags: number): void {
    const input = this.#end - 2 * VALUE_BYTES
    this.#compress4(input, 0, 1, 0, 0, flags, 0, 0, blake3BlockBytes, input)
    this.#subtreeCount--
  }

  get #end(): number {
    return SUBTREES + this.#subtreeCount * VALUE_BYTES
  }
}
