/** Copies of this checkout for tests that change it and build it. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { oncePerRun, serverFolder } from '../../servers/run.ts'

export const root = join(import.meta.dirname, '../../..')

/** An empty folder that is deleted with the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'golooader-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/**
 * The files of the repository, without anything built. Packages are those of this checkout, except for the given ones.
 */
export function copyOfCheckout(leftOut: readonly string[] = []): string {
  const folder = temporaryFolder()
  copyInto(folder, leftOut)
  return folder
}

/** {@link copyOfCheckout} into an existing folder. */
export function copyInto(folder: string, leftOut: readonly string[] = []): void {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  for (const path of String(listed).trim().split('\n')) cpSync(join(root, path), join(folder, path))
  linkPackages(readdirSync(join(root, 'node_modules')), join(folder, 'node_modules'), leftOut)
}

/** The same with a built bundle of its command line. The bundle is built once a run, by the first command. */
export async function builtCheckout(): Promise<string> {
  const built = await oncePerRun('checkout', async () => {
    const path = serverFolder('checkout')
    copyInto(path)
    execFileSync(process.execPath, [join(path, 'bin/golooader.js'), '--version'], { env: { HOME: path } })
    return path
  })
  const folder = temporaryFolder()
  // The bundle identifies its sources by their times, to the nanosecond.
  execFileSync('cp', ['--archive', `${built}/.`, folder])
  return folder
}

/** Links packages of this checkout, by their names or scopes, into another folder. */
export function linkPackages(names: readonly string[], folder: string, leftOut: readonly string[] = []): void {
  for (const name of names) {
    if (leftOut.includes(name)) continue
    mkdirSync(join(folder, name, '..'), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(folder, name))
  }
}
