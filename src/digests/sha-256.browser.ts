import { sha256 as library } from '@noble/hashes/sha2.js'
import type { DigestDriver } from './driver.ts'
import { scriptDriver } from './script-driver.ts'

/**
 * SHA-256 (FIPS 180-4) in JavaScript, for small inputs. WebCrypto is many times as fast, but it takes all bytes at once and is
 * asynchronous. The page uses it for the digests of whole parts.
 */
export const sha256: DigestDriver = scriptDriver('sha-256', library)
