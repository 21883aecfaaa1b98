/** `send --dry-run`: lists what would be sent. */
import type { NodeSource } from '../sender/node-content.ts'
import type { UploadFlags } from './options.ts'
import { print } from './output.ts'
import { bytesText, printable, treeText } from './text.ts'

interface DryRunFlags extends UploadFlags {
  readonly as?: string
  readonly json?: boolean
}

/** @throws Problem as {@link checkSources} does */
export async function listSources(paths: readonly string[], flags: DryRunFlags): Promise<void> {
  const { checkSources } = await import('../sender/node-source.ts')
  const sources = await checkSources(paths, {
    withTimes: flags.times !== false,
    exclude: flags.exclude ?? [],
    as: flags.as ?? null,
    isStrict: flags.strict === true,
  })
  for (const source of sources) {
    if (flags.json === true) listAsJson(source)
    else listAsText(source)
  }
}

function listAsText({ path, sizeBytes, tree, leftOut }: NodeSource): void {
  if (tree === null) print(`${printable(path)}  ${bytesText(sizeBytes)}\n`)
  else {
    for (let entry = 0; entry < tree.length; entry++) {
      const { path: inTree, kind, sizeBytes: bytes, target } = tree.entry(entry)
      const end = kind === 'folder' ? '/' : kind === 'link' ? ` -> ${printable(target ?? '')}` : `  ${bytesText(bytes)}`
      print(`${printable(inTree)}${end}\n`)
    }
    print(`${printable(path)}: ${treeText(tree)}\n`)
  }
  for (const one of leftOut) print(`! ${printable(one.path)} is left out: ${printable(one.reason)}\n`)
}

function listAsJson({ path, sizeBytes, tree, leftOut }: NodeSource): void {
  const write = (value: object): void => print(`${JSON.stringify(value)}\n`)
  for (let entry = 0; entry < (tree?.length ?? 0); entry++) {
    const { mtimeNs: _, ...shown } = tree?.entry(entry) ?? { mtimeNs: 0n }
    write({ type: 'entry', ...shown })
  }
  for (const one of leftOut) write({ type: 'left-out', ...one })
  const size = tree === null ? null : { fileCount: tree.fileCount, contentBytes: tree.contentBytes }
  write({ type: 'delivery', path, sizeBytes, tree: size })
}
