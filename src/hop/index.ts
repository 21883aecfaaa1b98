/**
 * The receiving half of a hop: take parts in, verify, make durable, judge. Used by the portal and by the receiver. Here is what
 * runs anywhere; what needs Node is in `node.ts`.
 */
export { type Floor, FloorWatch } from './floor.ts'
export { release } from './memory.ts'
export type { PartExpectation, PartSink } from './part-sink.ts'
export { largeBytesMin, Places } from './places.ts'
export { localTurns, type Turns } from './turns.ts'
export * from './verdict.ts'
