/** What somebody can do about a problem, in plain words; by its code, whoever said it. */
import type { ProblemJson } from '../../protocol/index.ts'

/** Told to the sender of a file. `who` is the receiver, or "the receiver". */
const forSender: Readonly<Record<string, (who: string) => string>> = {
  declined: (who) => `Ask ${who} what is wrong with it before you send it again.`,
  'disk-full': (who) => `Ask ${who} to make room, then send it again.`,
  'write-failed': (who) => `Something is wrong with the disk of ${who}. Tell them, then send it again.`,
  'folder-unavailable': (who) => `The folder of ${who} cannot be used. Tell them, then send it again.`,
  'name-refused': () => 'Give the file another name, then send it again.',
  'sender-not-accepted': (who) => `${who} takes files from chosen senders only. Ask to be one of them.`,
  'keys-missing': (who) => `${who} has no keys yet, and can get files only once they have joined with a newer program.`,
  'keys-changed': (who) =>
    `Compare fingerprints with ${who} by phone. If they are right, trust the new keys, then send it again.`,
  'signature-missing': (who) => `${who} knows you by other keys. Compare fingerprints with them.`,
  'signature-invalid': (who) => `${who} knows you by other keys. Compare fingerprints with them.`,
  'seal-unopenable': (who) => `${who} has got new keys since. Send it again.`,
  'receipt-invalid': (who) => `Do not rely on it. Ask ${who} whether the file is there, and compare fingerprints.`,
  'receiver-silent': (who) => `${who} was offered the file and never answered. Ask whether their receiver runs.`,
  'receiver-unknown': () => 'Look whether the name is right. Names of accounts are in small letters.',
  'account-revoked': (who) => `The account of ${who} has been closed by the operator of the portal.`,
  expired: (who) => `${who} was not online in time. Agree on a time, then send it again.`,
  cancelled: () => 'Nothing needs to be done.',
  'storage-full': () => 'Try again later, or ask the operator of the portal for room.',
  'transfer-too-large': () => 'Ask the operator of the portal for a larger limit, or send it in several files.',
  'too-many-transfers': () => 'Wait until some of your transfers have ended.',
  'source-changed': () => 'Wait until nothing writes to the file, then send it again.',
  'source-unreadable': () => 'Look whether the file is still there, then choose it again.',
  'sealing-required': () => 'Send it sealed.',
  'attempts-exhausted': () => 'The connection damages what you send. Try another network.',
  'stored-part-corrupt': () => 'Send it again, and tell the operator of the portal.',
  'store-failed': () => 'Tell the operator of the portal, then send it again.',
}

/** Told to the one who would have received it. */
const forReceiver: Readonly<Record<string, string>> = {
  'disk-full': 'Make room on this device. The sender has been told, and can send it again.',
  'write-failed': 'Look after the disk of this device. The sender can send it again.',
  'folder-unavailable': 'Choose the folder anew. The sender can send it again.',
  'keys-changed': 'Compare fingerprints with the sender by phone before you trust the new keys.',
  'signature-missing': 'Whoever sent this did not prove who they are. Nothing was kept.',
  'signature-invalid': 'Whoever sent this did not prove who they are. Nothing was kept.',
  'seal-unopenable': 'It was sealed for other keys than yours. The sender has to send it again.',
  cancelled: 'The sender took it back.',
  expired: 'Its time has run out. The sender can send it again.',
}

/** @param who whose problem it is, as a person is called; null where it is nobody's in particular */
export function adviceForSender({ code }: ProblemJson, who: string | null): string | null {
  return forSender[code]?.(who ?? 'the receiver') ?? null
}

export function adviceForReceiver({ code }: ProblemJson): string | null {
  return forReceiver[code] ?? null
}
