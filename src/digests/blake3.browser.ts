import { blake3 as library } from '@noble/hashes/blake3.js'
import type { DigestDriver } from './driver.ts'
import { scriptDriver } from './script-driver.ts'

/** A page cannot load machine code. */
export const nativeBlake3: DigestDriver | null = null

export const blake3: DigestDriver = scriptDriver('blake3', library)
