/** What of a hop needs Node: files that last, streams. */
export * from './node-durable.ts'
export { type FolderLock, lockFolder, withFolderLock } from './node-folder-lock.ts'
export { Room } from './node-room.ts'
export * from './node-take-part.ts'
