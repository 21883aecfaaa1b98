/** The folder store on a disk that is really full. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { testFolder } from '../suites/folder.ts'

describe('fs store', () => {
  test('on a full disk a part is refused with storage-full, leaves nothing, and earlier parts stay', async () => {
    if (process.platform !== 'linux') return
    const folder = await testFolder()
    // The small disk is mounted only for one process, so it need not be unmounted.
    const inside = 'mount -t tmpfs -o size=2m,mode=700 tmpfs "$0" && exec "$1" "$2" "$0"'
    const script = join(import.meta.dirname, 'full-disk.ts')
    const run = promisify(execFile)('unshare', ['-r', '-m', 'sh', '-c', inside, folder, process.execPath, script])
    const { stdout } = await run.catch((cause) => {
      throw new Error('this test mounts a small tmpfs, which needs root or unprivileged user namespaces', { cause })
    })
    expect(JSON.parse(stdout)).toEqual({
      code: 'storage-full',
      causeCode: 'ENOSPC',
      filesAfterwards: 1,
      firstIsIntact: true,
      fitsAfterwards: true,
    })
  })
})
