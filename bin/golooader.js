#!/usr/bin/env node
// Starts the command line, which is one bundle, under a Node that can run it. A checkout brings its own Node as a dev dependency,
// and builds the bundle again when a source has changed; a published package has it built.
import module from 'node:module'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Asked for as a built-in where Node can do that: to import it makes its streams, too, which costs a tenth of the start.
const { existsSync, lstatSync, mkdirSync } = process.getBuiltinModule?.('node:fs') ?? (await import('node:fs'))

const NODE_MAJOR_MIN = 24
const OTHERS_WRITE = 0o022

if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) {
  // Keeps compiled code between runs: a command starts in half the time.
  const cache = cacheFolder(process.env)
  if (cache !== null) module.enableCompileCache?.(cache)
  const checkout = new URL('../src/cli/build/built.js', import.meta.url)
  const entry = existsSync(checkout) ? await (await import(checkout.href)).entryOfCheckout() : '../dist/cli/main.js'
  const { main } = await import(entry)
  process.exitCode = await main(process.argv.slice(2))
} else {
  const pinned = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  if (existsSync(pinned)) {
    const { spawn } = await import('node:child_process')
    const child = spawn(pinned, process.argv.slice(1), { stdio: 'inherit' })
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    child.on('exit', (code) => {
      process.exitCode = code ?? 1
    })
  } else {
    process.stderr.write(`golooader needs Node ${NODE_MAJOR_MIN} or newer; this is ${process.version}.\n`)
    process.exitCode = 1
  }
}

/**
 * Where compiled code lies. Node runs it without another look, so that only this user may be able to write there: a folder of another
 * user (root may have the home of whom it acts for), or one that others can write to, is not used. Nor is a relative one, which
 * would be another one in each folder that a command runs in.
 */
function cacheFolder({ HOME = '', XDG_CACHE_HOME = '' }) {
  const base = isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : isAbsolute(HOME) ? join(HOME, '.cache') : null
  if (base === null) return null
  const folder = join(base, 'golooader')
  try {
    for (const one of [base, folder]) if (!existsSync(one)) mkdirSync(one, { mode: 0o700 })
    const stats = lstatSync(folder)
    const isOwn = stats.isDirectory() && (process.geteuid === undefined || stats.uid === process.geteuid())
    return isOwn && (stats.mode & OTHERS_WRITE) === 0 ? folder : null
  } catch {
    // A command that starts slowly is worth more than none.
    return null
  }
}
