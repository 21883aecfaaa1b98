/**
 * Builds the page into `dist/page`, from where the portal serves it. It may stand under any path, so that every address in it is
 * relative; nothing in it is inline, as its Content-Security-Policy has it.
 */
import { join } from 'node:path'
import { defineConfig } from 'vite'
import { browserFiles, leanTypebox, precompressed } from './build/plugins.ts'

/** Rooms whose modules do nothing by being loaded. */
const SHARED = /[\\/]src[\\/](?:client|digests|hop|protocol|receiver|sender|trust)[\\/]/
/** Schemas that the page checks nothing with are left out, and so are modules of which it uses nothing. */
const treeshake = {
  manualPureFunctions: ['Type'],
  moduleSideEffects: (path: string) => !SHARED.test(path),
}

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  publicDir: false,
  envDir: false,
  plugins: [browserFiles(), leanTypebox(), precompressed()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es', rolldownOptions: { treeshake }, plugins: () => [browserFiles(), leanTypebox()] },
  build: {
    outDir: join(import.meta.dirname, '../../dist/page'),
    emptyOutDir: true,
    // `using`, WebCrypto's Ed25519 and X25519, and OPFS are what the page needs; syntax older than those need not be served.
    target: ['chrome137', 'edge137', 'firefox130', 'safari17'],
    rolldownOptions: { treeshake },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
})
