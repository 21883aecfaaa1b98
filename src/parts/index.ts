/**
 * What both hops do with the parts of a file that arrive: receive and verify each of them, and check that together they are the file
 * that was announced. The portal and the receiver use it.
 */

export * from './manifest-check.ts'
export { type MinThroughput, ThroughputWatch } from './min-throughput.ts'
export * from './part-sink.ts'
