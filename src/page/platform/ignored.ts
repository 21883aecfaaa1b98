/**
 * Leaves out of a folder what its files `.golooaderignore` name, as `golooader send` does. It is loaded only where there is such a file.
 */
import { Problem } from '../../protocol/index.ts'
import { IgnoreRules, ignoreFileName } from '../../sender/ignore.ts'
import type { FolderContent } from './picked-folder.ts'

/**
 * @returns what is left of the folder, and how many files and folders the patterns name
 * @throws Problem `source-unreadable`
 */
export async function withoutIgnored(content: FolderContent): Promise<{ kept: FolderContent; ignoredCount: number }> {
  let ignoredCount = 0
  const keptOf = async (folder: FolderContent, path: string, above: IgnoreRules): Promise<FolderContent> => {
    const patterns = folder.get(ignoreFileName)
    const rules = patterns instanceof File ? above.with(path, await textOf(patterns, path)) : above
    const kept: FolderContent = new Map()
    for (const [name, child] of folder) {
      if (name === ignoreFileName) continue
      const isFolder = child instanceof Map
      if (rules.isIgnored(isFolder ? `${path}${name}/` : path + name)) ignoredCount++
      else kept.set(name, isFolder ? await keptOf(child, `${path}${name}/`, rules) : child)
    }
    return kept
  }
  return { kept: await keptOf(content, '', IgnoreRules.of([])), ignoredCount }
}

async function textOf(file: File, path: string): Promise<string> {
  try {
    return await file.text()
  } catch (cause) {
    const detail = `${path}${ignoreFileName} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`
    throw new Problem('source-unreadable', { path: path + ignoreFileName, detail }, { cause })
  }
}
