/**
 * Bounds on time. The project `stress` runs one file at a time and checks the promised times. Other tests share the machine, so their
 * bounds are long and only detect an end that never comes.
 */
const isStress = process.env.GOLOOADER_TEST_BOUNDS === 'held'
const SLOWER = 20

/** The time that a test allows where `promisedMs` are promised. */
export function allowedMs(promisedMs: number): number {
  return isStress ? promisedMs : promisedMs * SLOWER
}
