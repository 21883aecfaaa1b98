// Run by npm after an installation in a checkout: builds the page, which the portal serves. Not in TypeScript, because npm
// may run it with a Node that cannot read that. Without the development dependencies there is nothing to build with, and an
// installation must not fail for it: then the portal says at its address how to build the page.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
if (existsSync(at('../../../node_modules/vite')) && existsSync(at('../../../node_modules/preact'))) {
  const { build } = await import('vite')
  await build({ root: at('..'), configFile: at('../vite.config.ts'), logLevel: 'warn' })
}
