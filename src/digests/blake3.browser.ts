import { blake3 as library } from '@noble/hashes/blake3.js'
import type { DigestDriver } from './driver.ts'
import { scriptDriver } from './script-driver.ts'

/** There is no machine code in a page. */
export const nativeBlake3: DigestDriver | null = null

export const blake3: DigestDriver = scriptDriver('blake3', library)
