/**
 * Which entries of a folder are left out because its owner says so: patterns of `--exclude`, and those in files `.golooaderignore`. The
 * patterns are those of gitignore(5).
 */
import ignore, { type Ignore } from 'ignore'

/** A file with patterns for the folder that it lies in, and for all below. It is not sent itself. */
export const ignoreFileName = '.golooaderignore'

/** The library remembers each path that it was asked about. After this number of paths it starts again. */
const REMEMBERED_MAX = 10_000

/** Patterns for one folder and all below it. */
class Patterns {
  readonly #lines: string
  /** The length of the folder's path. Paths are relative to the folder that is sent, and end with `/` unless they are empty. */
  readonly #folderLength: number
  #matcher: Ignore
  #asked = 0

  constructor(lines: string, folderLength: number) {
    this.#lines = lines
    this.#folderLength = folderLength
    this.#matcher = matcherOf(lines)
  }

  /** @returns null where no pattern decides */
  isIgnored(path: string): boolean | null {
    if (++this.#asked > REMEMBERED_MAX) {
      this.#matcher = matcherOf(this.#lines)
      this.#asked = 0
    }
    const { ignored, unignored } = this.#matcher.test(path.slice(this.#folderLength))
    if (ignored) return true
    return unignored ? false : null
  }
}

/** As git on Linux does it: `A` is not `a`. */
function matcherOf(lines: string): Ignore {
  return ignore({ ignorecase: false }).add(lines)
}

/** The patterns that hold in one folder. */
export class IgnoreRules {
  /** From `--exclude`. They count before all others. */
  readonly #excluded: Patterns | null
  /** From files. Those of the deepest folder come first, and count before the others. */
  readonly #inFiles: readonly Patterns[]

  private constructor(excluded: Patterns | null, inFiles: readonly Patterns[]) {
    this.#excluded = excluded
    this.#inFiles = inFiles
  }

  static of(exclude: readonly string[]): IgnoreRules {
    return new IgnoreRules(exclude.length === 0 ? null : new Patterns(exclude.join('\n'), 0), [])
  }

  /** The rules for a folder that has a file with patterns. @param path of the folder, relative to the one that is sent, with `/` at its end */
  with(path: string, lines: string): IgnoreRules {
    return new IgnoreRules(this.#excluded, [new Patterns(lines, path.length), ...this.#inFiles])
  }

  /** @param path relative to the folder that is sent; with `/` at its end for a folder */
  isIgnored(path: string): boolean {
    const excluded = this.#excluded?.isIgnored(path) ?? null
    if (excluded !== null) return excluded
    for (const patterns of this.#inFiles) {
      const ignored = patterns.isIgnored(path)
      if (ignored !== null) return ignored
    }
    return false
  }
}
