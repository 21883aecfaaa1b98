/**
 * `vitest run` runs everything, `vitest run --project structure` what takes no time at all.
 * `e2e` comes last and by itself: its tests start real processes, and would disturb the clocks of the others.
 */
import { defineConfig } from 'vitest/config'

const unitFolders = ['protocol', 'digests', 'hop', 'client', 'sender', 'receiver', 'portal', 'cli', 'drivers']

export default defineConfig({
  test: {
    reporters: ['dot'],
    projects: [
      {
        extends: true,
        test: { name: 'structure', include: ['test/structure/**/*.test.ts'], sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: 'unit',
          include: unitFolders.map((folder) => `test/${folder}/**/*.test.ts`),
          testTimeout: 10_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: true,
          maxWorkers: 4,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
