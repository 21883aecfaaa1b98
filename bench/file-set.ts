/** Many small files: made, told apart by their names, and compared with what arrived. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** Files that are written or read at the same time. */
const FILES_AT_ONCE = 64

export interface FileSet {
  readonly folder: string
  readonly paths: readonly string[]
  /** By the name of the file. */
  readonly digests: ReadonlyMap<string, string>
}

/** Makes files of random bytes in a folder of their own. */
export async function makeFileSet(folder: string, count: number, sizeBytes: number): Promise<FileSet> {
  await mkdir(folder, { recursive: true })
  const digests = new Map<string, string>()
  const paths = Array.from({ length: count }, (_, index) => join(folder, `${String(index).padStart(6, '0')}.bin`))
  await atOnce(paths, async (path) => {
    const content = randomBytes(sizeBytes)
    digests.set(basename(path), sha256(content))
    await writeFile(path, content)
  })
  return { folder, paths, digests }
}

/** What lies in a folder of delivered files. Hidden ones are not deliveries. */
export async function deliveredNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !name.startsWith('.'))
}

/** @throws Error unless a folder holds what was sent, byte for byte, and nothing else */
export async function mustHold(folder: string, { digests }: Pick<FileSet, 'digests'>): Promise<void> {
  const names = await deliveredNames(folder)
  if (names.length !== digests.size) throw new Error(`${names.length} files arrived of ${digests.size}`)
  await atOnce(names, async (name) => {
    if (sha256(await readFile(join(folder, name))) !== digests.get(name))
      throw new Error(`${name} is not what was sent`)
  })
}

/** How long it took from the first file of a folder to the last: none of them is touched once it is there. */
export async function spanMs(folder: string): Promise<number> {
  const timesMs: number[] = []
  await atOnce(await deliveredNames(folder), async (name) => {
    timesMs.push((await stat(join(folder, name))).ctimeMs)
  })
  timesMs.sort((one, other) => one - other)
  return (timesMs.at(-1) ?? 0) - (timesMs[0] ?? 0)
}

/**
 * Moves the files of a folder away, and leaves what its receiver keeps there. Nothing is deleted between two measurements: for minutes
 * after, ext4 would look at each deleted file whenever it makes a new one in the same part of the disk.
 */
export async function empty(folder: string): Promise<void> {
  const away = await mkdtemp(`${folder}-measured-`)
  await atOnce(await deliveredNames(folder), (name) => rename(join(folder, name), join(away, name)))
}

/** Does something with all items, with several at a time. */
export async function atOnce<Item>(items: readonly Item[], act: (item: Item) => Promise<unknown>): Promise<void> {
  const queue = items.values()
  const work = async (): Promise<void> => {
    for (const item of queue) await act(item)
  }
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, work))
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
