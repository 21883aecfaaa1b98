import { blake3 as library } from '@noble/hashes/blake3.js'
import type { DigestDriver } from './driver.ts'
import { scriptBlake3 } from './script-blake3.ts'

/** There is no machine code in a page. */
export const nativeBlake3: DigestDriver | null = null

export const blake3: DigestDriver = scriptBlake3(library)
