/**
 * Converts positions in the bundle to positions in the sources, for printed stack traces. Node's own support reads source maps at the
 * start or with each stack trace, which slows every command. Here the map of a file is read only when a position in it is printed.
 */
import { readFileSync } from 'node:fs'
import { SourceMap, type SourceOrigin } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const folder = import.meta.dirname
const folderAddress = pathToFileURL(join(folder, '/')).href
/** A position in a file of the bundle: `NAME.js:LINE:COLUMN`. */
const PLACE = /([\w.-]+\.js):(\d+):(\d+)/y
/** Source maps by file name; null for a file without one, such as the sources themselves. */
const maps = new Map<string, SourceMap | null>()

/** The message for an unexpected error. */
export function bugText(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `this is a bug, please report it:\n${inSources(stack)}`
}

/** Replaces each position in the bundle by its position in the sources. */
export function inSources(text: string): string {
  const [before = '', ...rest] = text.split(folderAddress)
  return before + rest.map(placed).join('')
}

/** @param text the text after the URL of the folder */
function placed(text: string): string {
  PLACE.lastIndex = 0
  const [place = '', name = '', line, column] = PLACE.exec(text) ?? []
  const origin: Partial<SourceOrigin> = mapOf(name)?.findOrigin(Number(line), Number(column)) ?? {}
  const { fileName, lineNumber, columnNumber } = origin
  if (fileName === undefined) return folderAddress + text
  return `${join(folder, fileName)}:${lineNumber}:${columnNumber}${text.slice(place.length)}`
}

function mapOf(name: string): SourceMap | null {
  let map = maps.get(name)
  if (map === undefined) {
    map = readMap(name)
    maps.set(name, map)
  }
  return map
}

function readMap(name: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(join(folder, `${name}.map`), 'utf8')))
  } catch {
    // An unreadable map is ignored: the stack trace without it is still useful.
    return null
  }
}
