/**
 * The mark in a data folder whose ledger has moved to a database, or is about to. A portal and the operator's commands refuse a folder
 * with this mark, so that no two portals ever work with copies of one ledger. The ledger itself stays as it is: without the mark, the
 * folder is what it was.
 */
import { join } from 'node:path'
import * as Type from 'typebox'
import { readTextOrNull, replaceFile } from '../../fs/index.ts'
import { conforms, Problem } from '../../protocol/index.ts'

const MovedMark = Type.Object({
  /** `moving` until the database has everything. */
  state: Type.Union([Type.Literal('moving'), Type.Literal('moved')]),
  ledgerId: Type.String(),
  /** Where the ledger and the parts are from then on, without secrets: see `storageLocationOf`. */
  to: Type.Object({ ledger: Type.String(), parts: Type.String() }),
  at: Type.String(),
})
export type MovedMark = Type.Static<typeof MovedMark>

function movedMarkPath(dataFolder: string): string {
  return join(dataFolder, 'moved.json')
}

/** @returns null for a folder whose ledger is in use. @throws Problem `ledger-moved` for a mark that cannot be read */
export async function readMovedMark(dataFolder: string): Promise<MovedMark | null> {
  const path = movedMarkPath(dataFolder)
  const text = await readTextOrNull(path)
  if (text === null) return null
  try {
    const value: unknown = JSON.parse(text)
    if (conforms(MovedMark, value)) return value
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  throw new Problem('ledger-moved', { detail: `${path} says so, and is damaged` })
}

/** Durable when it resolves. */
export function writeMovedMark(dataFolder: string, mark: MovedMark): Promise<void> {
  return replaceFile(movedMarkPath(dataFolder), `${JSON.stringify(mark, null, 2)}\n`)
}

/** @throws Problem `ledger-moved` with the new place */
export async function requireNotMoved(dataFolder: string): Promise<void> {
  const mark = await readMovedMark(dataFolder)
  if (mark !== null) throw movedProblem(dataFolder, mark)
}

/** Says where the ledger is now, or how to finish. */
export function movedProblem(dataFolder: string, { state, to }: MovedMark): Problem {
  const path = movedMarkPath(dataFolder)
  const detail =
    state === 'moved'
      ? `it is in ${to.ledger} now, and its parts are in ${to.parts}: start the portal with these. To return to what the folder had then, delete ${path}`
      : `a move to ${to.ledger} was interrupted: run the same 'golooader accounts move' again. To stay here instead, delete that database, then ${path}`
  return new Problem('ledger-moved', { ...to, detail })
}
