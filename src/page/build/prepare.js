// npm runs this script after an installation in a checkout. It builds the page that the portal serves. It is JavaScript
// because npm may run it with a Node version that cannot read TypeScript. Without the development dependencies it
// builds nothing and the installation succeeds. The portal then shows at its address how to build the page.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
if (existsSync(at('../../../node_modules/vite')) && existsSync(at('../../../node_modules/preact'))) {
  const { build } = await import('vite')
  await build({ root: at('..'), configFile: at('../vite.config.ts'), logLevel: 'warn' })
}
