/** The table of problems as PROTOCOL.md shows it. `node test/structure/problem-table.ts` prints it. */
import { problemKinds } from '../../src/protocol/problems.ts'

export const tableHead = ['| code | status | next | title |', '| --- | --- | --- | --- |'] as const

/** One row of the table for each problem, in the order of the source. */
export function problemRows(): string[] {
  return Object.entries(problemKinds).map(
    ([code, { status, next, title }]) => `| \`${code}\` | ${status} | ${next} | ${title} |`,
  )
}

if (import.meta.main) console.log([...tableHead, ...problemRows()].join('\n'))
