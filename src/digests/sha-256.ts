import { createHash } from 'node:crypto'
import type { DigestDriver } from './driver.ts'

/** SHA-256 (FIPS 180-4), the algorithm that every peer has. */
export const sha256: DigestDriver = {
  name: 'sha-256',
  create() {
    const hash = createHash('sha256')
    return {
      update: (bytes) => {
        hash.update(bytes)
      },
      digest: () => hash.digest('hex'),
    }
  },
}
