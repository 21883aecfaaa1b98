/**
 * Builds the page into `dist/page`, from where the portal serves it. Operators may serve it under any path, so every
 * address in it is relative. Its Content-Security-Policy forbids inline scripts and styles.
 */
import { join } from 'node:path'
import { defineConfig } from 'vite'
import { browserFiles, leanTypebox, precompressed } from './build/plugins.ts'

/** Folders whose modules have no side effects when they are loaded. */
const SHARED = /[\\/]src[\\/](?:async|client|digests|parts|protocol|receiver|sender|trust)[\\/]/
/** Removes unused schemas and unused modules from the bundle. */
const treeshake = {
  manualPureFunctions: ['Type'],
  moduleSideEffects: (path: string) => !SHARED.test(path),
}

/** Switches off a warning about slow builds, which only means that the machine is busy. */
const checks = { bundlerTimings: false }

/** In a file of their own, because what both pages share runs before the modules of one page, and would run without these symbols. */
const output = { codeSplitting: { groups: [{ name: 'disposables', test: /[\\/]disposables\.ts$/ }] } }

/** The page of an account, and that of a link, which loads less. An object, because tests put another entry in its place. */
const pages = { index: join(import.meta.dirname, 'index.html'), guest: join(import.meta.dirname, 'guest.html') }

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  publicDir: false,
  envDir: false,
  plugins: [browserFiles(), leanTypebox(), precompressed()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  worker: { format: 'es', rolldownOptions: { treeshake, checks }, plugins: () => [browserFiles(), leanTypebox()] },
  build: {
    outDir: join(import.meta.dirname, '../../dist/page'),
    emptyOutDir: true,
    // The page needs `using`, WebCrypto's Ed25519 and X25519, and OPFS. Browsers that lack those need no older syntax.
    target: ['chrome137', 'edge137', 'firefox130', 'safari17'],
    rolldownOptions: { input: pages, treeshake, checks, output },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
})
