/** Runs a program of the service manager. */
import { execFile } from 'node:child_process'
import { hasCode } from '../../fs/error-code.ts'
import { UsageError } from '../exit.ts'

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const TIME_MAX_MS = 60_000

/** @throws UsageError when the program is missing. A failure of the program is a result. */
export function run(program: string, args: readonly string[], env = process.env): Promise<Result> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...env, LC_ALL: 'C', SYSTEMD_PAGER: '', SYSTEMD_COLORS: '0' }, timeout: TIME_MAX_MS }
    const child = execFile(program, [...args], options, (error, stdout, stderr) => {
      if (hasCode(error, 'ENOENT'))
        return reject(new UsageError(`${program} is missing: this system has another service manager`))
      resolve({ code: child.exitCode ?? 1, stdout, stderr })
    })
  })
}

/** @returns standard output. @throws UsageError with the program's own message */
export async function runWell(program: string, args: readonly string[], env = process.env): Promise<string> {
  const { code, stdout, stderr } = await run(program, args, env)
  if (code !== 0) throw new UsageError(`${program} ${args.join(' ')}: ${stderr.trim() || `exit code ${code}`}`)
  return stdout
}
