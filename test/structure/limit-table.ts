/** The table of limits, as PROTOCOL.md shows it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './sources.ts'

const ROW = /^\| (.+?) \| `(\w+)` \| (\d+) \| (.+?) \|$/

export interface LimitRow {
  readonly what: string
  /** Its name in `src/protocol/limits.ts`. */
  readonly name: string
  readonly value: number
  /** The effect of exceeding it. */
  readonly beyond: string
}

export function limitRows(): LimitRow[] {
  const lines = readFileSync(join(root, 'PROTOCOL.md'), 'utf8').split('\n')
  return lines.flatMap((line) => {
    const [, what, name, value, beyond] = ROW.exec(line) ?? []
    if (what === undefined || name === undefined || beyond === undefined) return []
    return [{ what, name, value: Number(value), beyond }]
  })
}
