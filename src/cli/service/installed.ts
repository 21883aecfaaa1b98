/** The services that have a file in a folder of the service manager. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '../../fs/error-code.ts'
import { readTextOrNull } from '../../fs/index.ts'
import type { ServedCommand } from './definition.ts'
import type { InstalledService } from './manager.ts'

/**
 * @param nameOf the service of a file; null for other files
 * @param commandOf what is run by a file of that text; null for a file that another program or a person wrote, which is left alone
 */
export async function servicesIn(
  folder: string,
  nameOf: (file: string) => string | null,
  commandOf: (text: string) => ServedCommand | null,
): Promise<InstalledService[]> {
  const files = await readdir(folder).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  })
  const found: InstalledService[] = []
  for (const file of files.sort()) {
    const name = nameOf(file)
    if (name === null) continue
    const path = join(folder, file)
    const command = commandOf((await readTextOrNull(path)) ?? '')
    if (command !== null) found.push({ name, ...command, path })
  }
  return found
}
