/**
 * Drop folders: whatever is put into one is sent, and then lies in `sent` with its receipt, or in `failed` with the reason. It rests on the
 * sender, and adds that no file is lost or sent twice, whenever the program is killed.
 */
export type * from './events.ts'
export { watchFolder } from './watcher.ts'
