import { sha256 as library } from '@noble/hashes/sha2.js'
import type { DigestDriver } from './driver.ts'
import { scriptDriver } from './script-driver.ts'

/**
 * SHA-256 (FIPS 180-4) in JavaScript, for what is small. WebCrypto is many times as fast, but it wants all bytes at once, and
 * its answer has to be awaited: the digests of whole parts are computed by that.
 */
export const sha256: DigestDriver = scriptDriver('sha-256', library)
