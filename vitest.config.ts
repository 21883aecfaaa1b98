/** `test/tiers.ts` says which files each project runs. `npm test` runs `fast`, `npm run test:all` all of them (`test/all.ts`). */
import { defineConfig } from 'vitest/config'
import LongFirst from './test/sequencer.ts'
import { chromiumFiles, filesOfTiers, tiers } from './test/tiers.ts'

/** What depends on the browser runs in Firefox, too, except for bounds on time and memory. */
const isInFirefox = (path: string): boolean =>
  path === 'test/drivers/inbox.test.ts' || (/^test\/(e2e\/)?page\//.test(path) && !chromiumFiles.includes(path))

/** A test that hangs ends at some time. The bound is wide, because a busy machine makes tests slower and none of them fail. */
const TEST_MS_MAX = 400_000

const POLL_MS_MAX = 240_000

const files = filesOfTiers()

/** What is measured runs after everything else, and has a core for itself. Bounds on time are held here (`test/suites/bounds.ts`). */
const stress = {
  maxWorkers: 2,
  sequence: { groupOrder: 2 },
  env: { GOLOOADER_TEST_BOUNDS: 'held' },
  testTimeout: 900_000,
}

/** Browsers compute more than they wait. They run after the projects without them, few at a time. */
const inBrowsers = { maxWorkers: 3, sequence: { groupOrder: 1 } }

export default defineConfig({
  test: {
    // A process runs many files, one after the other, and loads each module once: loading them again for each file takes longer than most
    // tests. A test leaves the process as it has found it.
    isolate: false,
    // Most of these tests wait for processes, so that more of them than there are cores can run at a time.
    maxWorkers: 6,
    sequence: { sequencer: LongFirst },
    testTimeout: TEST_MS_MAX,
    hookTimeout: TEST_MS_MAX,
    expect: { poll: { timeout: POLL_MS_MAX } },
    // A failing test is named when it fails, slow files at the end.
    reporters: ['default', './test/reporter.ts'],
    // Once for all projects. Servers themselves are started by the first test that needs them.
    globalSetup: ['test/servers/global-setup.ts'],
    projects: [
      ...tiers.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: files[name],
          ...(name === 'stress' ? stress : {}),
          ...(name === 'browser' ? inBrowsers : {}),
        },
      })),
      {
        extends: true,
        test: {
          name: 'firefox',
          include: files.browser.filter(isInFirefox),
          env: { GOLOOADER_TEST_BROWSER: 'firefox' },
          ...inBrowsers,
        },
      },
    ],
  },
})
