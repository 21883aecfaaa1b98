/** Tools for files and folders on this machine: durable writes, locks, free space, descriptors. All of them need Node. */
export { bootId } from './boot-id.ts'
export * from './descriptors.ts'
export * from './durable.ts'
export { hasCode } from './error-code.ts'
export { fileErrorText } from './file-error.ts'
export * from './file-system-types.ts'
export * from './file-times.ts'
export * from './fixed-path.ts'
export { type FolderLock, FolderTakenError, lockFolder, withFolderLock } from './folder-lock.ts'

export { FreeSpace } from './free-space.ts'
export { OnceATurn } from './once-a-turn.ts'
export { FolderAwayError, OwnedFolder } from './owned-folder.ts'
export * from './process-identity.ts'
export { makeTriedFolder } from './tried-folder.ts'
export {
  type FolderStep,
  type FolderUse,
  folderProblem,
  makeUsableFolder,
  requireUsableFolder,
} from './usable-folder.ts'
