/** Tests that need one browser only. */
import { test } from 'vitest'
import { engine } from './engine.ts'

/**
 * A test of what does not depend on the browser: the model, the core of senders and receivers, the portal. It runs in Chromium. The project
 * `firefox` leaves it out.
 */
export const chromiumTest = test.runIf(engine === 'chromium')
