/**
 * `vitest run` runs everything, `vitest run --project structure` what takes no time at all.
 * `e2e` starts real processes.
 */
import { defineConfig } from 'vitest/config'

const unitFolders = [
  'protocol',
  'digests',
  'trust',
  'profile',
  'hop',
  'client',
  'sender',
  'receiver',
  'portal',
  'cli',
  'drivers',
  'servers',
  'page',
]

export default defineConfig({
  test: {
    // Most of these tests wait for processes, so that more of them than there are cores can run at a time.
    maxWorkers: 4,
    reporters: ['dot'],
    // Once for all projects. Servers themselves are started by the first test that needs them.
    globalSetup: ['test/servers/global-setup.ts'],
    projects: [
      {
        extends: true,
        test: { name: 'structure', include: ['test/structure/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'unit',
          include: unitFolders.map((folder) => `test/${folder}/**/*.test.ts`),
          testTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts', 'test/bench/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
