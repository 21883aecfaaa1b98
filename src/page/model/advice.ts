/** What a user can do about a problem, in plain words, by problem code. */
import type { ProblemJson } from '../../protocol/index.ts'

/** The other side chooses the code. A Map is safe here: a plain object would find `constructor`. */
function byCode<Advice>(table: Readonly<Record<string, Advice>>): ReadonlyMap<string, Advice> {
  return new Map(Object.entries(table))
}

/** Advice for the sender of a file. `who` is the receiver's name, or "the receiver". */
const forSender = byCode<(who: string) => string>({
  declined: (who) => `Ask ${who} what is wrong with it before you send it again.`,
  'disk-full': (who) => `Ask ${who} to make room, then send it again.`,
  'exec-failed': (who) => `${who} got the file, and their own program did not accept it. Ask them, then send it again.`,
  'write-failed': (who) => `Something is wrong with the disk of ${who}. Tell them, then send it again.`,
  'folder-unavailable': (who) => `The folder of ${who} cannot be used. Tell them, then send it again.`,
  'tree-invalid': (who) => `${who} could not unpack the folder. Pack it into one file, and send that.`,
  'name-refused': () => 'Give the file another name, then send it again.',
  'sender-not-accepted': (who) => `${who} accepts files from chosen senders only. Ask to be added.`,
  'keys-missing': (who) => `${who} has no keys yet, and can get files only once they have joined with a newer program.`,
  'keys-changed': (who) =>
    `Compare fingerprints with ${who} by phone. If they are right, trust the new keys, then send it again.`,
  'signature-missing': (who) => `${who} knows you by other keys. Compare fingerprints with them.`,
  'signature-invalid': (who) => `${who} knows you by other keys. Compare fingerprints with them.`,
  'seal-unopenable': (who) => `${who} has new keys. Send it again.`,
  'receipt-invalid': (who) => `Do not rely on it. Ask ${who} whether the file is there, and compare fingerprints.`,
  'receiver-silent': (who) => `${who} was offered the file and never answered. Ask whether their receiver runs.`,
  'receiver-unknown': () => 'Check the name. Names of accounts are in small letters.',
  'account-revoked': (who) => `The account of ${who} has been closed by the operator of the portal.`,
  expired: (who) => `${who} was not online in time. Agree on a time, then send it again.`,
  'too-many-guests': () => 'Wait until some of your links were used or have expired.',
  'link-expired': () => 'Nobody took the file in time. Make a new link, with a longer time.',
  'request-closed': (who) => `${who} takes no more files by this link. Ask for a new one.`,
  'request-full': (who) => `${who} takes no more files by this link, or none of this size. Ask for a new one.`,
  cancelled: () => 'Nothing needs to be done.',
  'storage-full': () => 'Try again later, or ask the operator of the portal for room.',
  'transfer-too-large': () => 'Ask the operator of the portal for a larger limit, or send it in several files.',
  'too-many-transfers': () => 'Wait until some of your transfers have ended.',
  'browser-failed': () => 'Reload the page, then send it again.',
  'source-changed': () => 'Wait until nothing writes to the file, then send it again.',
  'source-unreadable': () => 'Check that the file is still there, then choose it again.',
  'sealing-required': () => 'Send it sealed.',
  'attempts-exhausted': () => 'The connection damages what you send. Try another network.',
  'stored-part-corrupt': () => 'Send it again, and tell the operator of the portal.',
  'transfer-lost': () => 'The portal was restored from a backup. Send it again: no receiver gets a second copy.',
  'store-failed': () => 'Tell the operator of the portal, then send it again.',
})

/** Advice for the receiver of a file. */
const forReceiver = byCode<string>({
  'disk-full': 'Make room on this device. The sender has been told, and can send it again.',
  'write-failed': 'Check the disk of this device. The sender can send it again.',
  'tree-invalid': 'What arrived is no valid folder. Nothing was kept.',
  'folder-unavailable': 'Choose the folder again. The sender can send it again.',
  'keys-changed': 'Compare fingerprints with the sender by phone before you trust the new keys.',
  'signature-missing': 'The sender did not prove who they are. Nothing was kept.',
  'signature-invalid': 'The sender did not prove who they are. Nothing was kept.',
  'seal-unopenable': 'It was sealed for other keys than yours. The sender has to send it again.',
  'upload-timeout': 'Nothing of it was kept. Ask the sender to send it again.',
  cancelled: 'The sender cancelled it.',
  expired: 'It expired. The sender can send it again.',
})

const NEW_LINK = 'Ask the person who gave you the link for a new one.'

/** Advice for people without an account who have opened a link. */
const forVisitor = byCode<string>({
  'link-invalid': `If you copied the link, check that you have all of it. ${NEW_LINK}`,
  'link-expired': NEW_LINK,
  'request-closed': NEW_LINK,
  'request-full': NEW_LINK,
  'guest-conflict': NEW_LINK,
  'guests-off': 'The portal has stopped taking such links. Tell the person who gave it to you.',
  'too-many-guests': 'Too many people use links of this account just now. Try again later.',
  'keys-changed':
    'Do not use this link. The portal names other keys than the link does: it may be lying. Tell the person who gave it to you.',
  'account-revoked': 'The account that made the link has been closed.',
  cancelled: 'The sender cancelled it. Ask them for a new link if you still need it.',
  expired: NEW_LINK,
  'seal-broken': 'The link and what the portal has do not belong together. Tell the person who gave it to you.',
  'seal-unopenable': 'The link and what the portal has do not belong together. Tell the person who gave it to you.',
  'browser-failed': 'Reload the page to try again. The link has not been used up.',
})

/** Codes of problems that this browser detects. The portal reports every other problem of a first hop. */
const foundHere: ReadonlySet<string> = new Set([
  'browser-failed',
  'certificate-invalid',
  'insecure-transport',
  'keys-changed',
  'keys-missing',
  'no-answer',
  'proxy-refused',
  'source-changed',
  'source-not-a-file',
  'source-unreadable',
])

/** Who refused to send the file: the portal or this browser. */
export function refusedBy({ code }: ProblemJson): 'Portal' | 'This browser' {
  return foundHere.has(code) ? 'This browser' : 'Portal'
}

/** @param who the name of the receiver with the problem; null where the problem belongs to no single receiver */
export function adviceForSender({ code }: ProblemJson, who: string | null): string | null {
  return forSender.get(code)?.(who ?? 'the receiver') ?? null
}

export function adviceForReceiver({ code }: ProblemJson): string | null {
  return forReceiver.get(code) ?? null
}

export function adviceForVisitor({ code }: ProblemJson): string | null {
  return forVisitor.get(code) ?? null
}
