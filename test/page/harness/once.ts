/** Tests that need one browser only. */
import { test } from 'vitest'
import { engine } from './engine.ts'

/**
 * A test of what does not depend on the browser: the model, the core of senders and receivers, the portal. It runs in Chromium. The project
 * `firefox` leaves it out.
 */
export const chromiumTest = test.runIf(engine === 'chromium')

/** Rows for `test.each`: all of them in Chromium, the first ones in Firefox. The others differ in what does not depend on the browser. */
export function rowsOf<Row>(rows: readonly Row[], inFirefox: number): readonly Row[] {
  return engine === 'chromium' ? rows : rows.slice(0, inFirefox)
}
