/** Tars that no sender of this program makes, block by block. */
import { blockBytes, ustarFields } from '../../src/tree/tar-header.ts'

export interface ForgedEntry {
  readonly name: string
  /** `0` file, `1` hard link, `2` symbolic link, `3` device, `5` folder, `6` FIFO. */
  readonly type?: string
  readonly linkName?: string
  readonly content?: string
  /** As the header says; the length of the content by default. */
  readonly sizeBytes?: number
  readonly mode?: number
  /** Pax records before the header. */
  readonly records?: Readonly<Record<string, string>>
}

const root: ForgedEntry = { name: 'photos/', type: '5' }

/** A tar of the folder `photos` with these entries, exactly as they are said. */
export function forgedTree(entries: readonly ForgedEntry[]): Buffer {
  return forgedTar([root, ...entries])
}

export function forgedTar(entries: readonly ForgedEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(blocksOf), Buffer.alloc(2 * blockBytes)])
}

function blocksOf({ name, type = '0', linkName = '', content = '', sizeBytes, mode, records }: ForgedEntry): Buffer[] {
  const bytes = Buffer.from(content)
  const recordText = Object.entries(records ?? {}).map(([key, value]) => recordOf(key, value))
  const before =
    records === undefined ? [] : blocksOf({ name: 'PaxHeaders/x', type: 'x', content: recordText.join('') })
  const header = headerOf({ name, type, linkName, mode: mode ?? 0o644, sizeBytes: sizeBytes ?? bytes.length })
  return [...before, header, bytes, Buffer.alloc((blockBytes - (bytes.length % blockBytes)) % blockBytes)]
}

function headerOf(fields: { name: string; type: string; linkName: string; mode: number; sizeBytes: number }): Buffer {
  const header = Buffer.alloc(blockBytes)
  const put = (field: keyof typeof ustarFields, text: string) => header.write(text, ustarFields[field][0])
  put('name', fields.name)
  put('mode', `${fields.mode.toString(8).padStart(7, '0')}\0`)
  put('uid', '0000000\0')
  put('gid', '0000000\0')
  put('size', `${fields.sizeBytes.toString(8).padStart(11, '0')}\0`)
  put('mtime', '14722320000\0')
  put('type', fields.type)
  put('linkName', fields.linkName)
  put('magic', 'ustar\u000000')
  put('checksum', ' '.repeat(8))
  const sum = header.reduce((total, byte) => total + byte, 0)
  put('checksum', `${sum.toString(8).padStart(6, '0')}\0 `)
  return header
}

function recordOf(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const length = Buffer.byteLength(rest)
  let total = length + 1
  while (total !== length + String(total).length) total++
  return `${total}${rest}`
}
