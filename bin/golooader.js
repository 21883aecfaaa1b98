#!/usr/bin/env node
// Starts the command line under a Node that can run it. A checkout runs its TypeScript as it stands and
// brings its own Node as a dev dependency; a published package runs what `tsc` compiled on prepack.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE_MAJOR_MIN = 24

if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) {
  const source = new URL('../src/cli/main.ts', import.meta.url)
  const compiled = new URL('../dist/cli/main.js', import.meta.url)
  // Keeps compiled code between runs: a command starts in half the time. Where nobody else can write: it is run as it stands.
  const { HOME, XDG_CACHE_HOME = HOME && join(HOME, '.cache') } = process.env
  if (XDG_CACHE_HOME) module.enableCompileCache?.(join(XDG_CACHE_HOME, 'golooader'))
  const { main } = await import(existsSync(source) ? source.href : compiled.href)
  process.exitCode = await main(process.argv.slice(2))
} else {
  const pinned = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url))
  if (existsSync(pinned)) {
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
