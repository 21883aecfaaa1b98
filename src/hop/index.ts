/** The receiving half of a hop: take parts in, verify, make durable, judge. Used by the portal and by the receiver. */
export * from './durable.ts'
export { type Floor, FloorWatch } from './floor.ts'
export { type FolderLock, lockFolder, withFolderLock } from './folder-lock.ts'
export { release } from './memory.ts'
export { largeBytesMin, Places } from './places.ts'
export { Room } from './room.ts'
export * from './take-part.ts'
export * from './verdict.ts'
