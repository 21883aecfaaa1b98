/** What a person keeps on this machine: profiles, contacts and receipts. */
export { changeAddress } from './address.ts'
export { type Connection, connect, type KnownSelf, knownSelf, parseKeys, shortRetryPolicy } from './connect.ts'
export { FileContacts, StoredContact } from './contacts.ts'
export { joinPortal } from './join.ts'
export {
  changeProfileName,
  changingProfiles,
  deleteProfile,
  loadProfile,
  profileNames,
  profilePath,
  readProfile,
  requireProfile,
  StoredProfile,
  stateMember,
  stateUrlFor,
  writeProfile,
} from './profiles.ts'
export { FileReceipts } from './receipts.ts'
export { Records, recordNameOf } from './records.ts'
export {
  configFolder,
  contactsPath,
  isStateTemporary,
  profileProblem,
  requestsFolder,
  stateFolder,
} from './user-folders.ts'
