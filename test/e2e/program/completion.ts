/** Scenes for the completion of shells. */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root, temporaryFolder } from './checkout.ts'

const run = promisify(execFile)
const program = join(root, 'bin/golooader.js')

/** A folder with a script, profiles, and files to complete. */
export async function prepared(shell: string): Promise<{ folder: string; script: string }> {
  const folder = temporaryFolder()
  const script = join(folder, `script.${shell}`)
  writeFileSync(script, (await run(process.execPath, [program, 'completion', shell])).stdout)
  mkdirSync(join(folder, 'work/in box'), { recursive: true })
  writeFileSync(join(folder, 'work/in doors.pdf'), '')
  mkdirSync(join(folder, 'config/golooader/profiles'), { recursive: true })
  for (const name of ['alice', 'alfred', 'bob'])
    writeFileSync(join(folder, `config/golooader/profiles/${name}.json`), '')
  return { folder, script }
}
