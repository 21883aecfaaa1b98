/**
 * Links as people pass them on. The secret is in the fragment, which no browser sends to a portal.
 *
 * - `PORTAL/join#gli_SECRET`: an invite.
 * - `PORTAL/g#glg_SECRET.FINGERPRINT`: a file to receive. With a passphrase, `glgp_` stands for `glg_`.
 * - `PORTAL/r#glr_SECRET.FINGERPRINT`: a request for files.
 *
 * SECRET is the base64url of 32 random bytes. FINGERPRINT is that of the keys of the account that made the link, without dashes, so that
 * the portal cannot name other keys.
 */
import { isInvite } from './accounts.ts'
import { groupedFingerprint, plainFingerprint } from './fingerprints.ts'
import { RAW_KEY } from './messages.ts'

/** A link to receive a file. */
export interface SendLink {
  readonly kind: 'send'
  /** Without a slash at its end. */
  readonly portalUrl: string
  /** 43 characters: base64url of 32 bytes. */
  readonly secret: string
  /** Of the sender: `abcd-efgh-…`. */
  readonly fingerprint: string
  readonly hasPassphrase: boolean
}

/** A link to send files by. */
export interface RequestLink {
  readonly kind: 'request'
  readonly portalUrl: string
  readonly secret: string
  /** Of the account that receives the files: `abcd-efgh-…`. */
  readonly fingerprint: string
}

/** A link to open an account, or to give it another token. */
export interface InviteLink {
  readonly kind: 'invite'
  readonly portalUrl: string
  /** `gli_…` */
  readonly invite: string
}

export type Link = SendLink | RequestLink | InviteLink

/** The last segment of a link's path. */
const pages = { send: 'g', request: 'r', invite: 'join' } as const satisfies Record<Link['kind'], string>
const GUEST_FRAGMENT = new RegExp(`^(glgp?|glr)_(${RAW_KEY})\\.([a-z2-7]{24})$`)

/** Reads a link. @returns null for any other text */
export function parseLink(text: string): Link | null {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return null
  const [, folder, page] = /^(.*)\/([^/]*)$/.exec(url.pathname) ?? []
  // Messengers add a query of their own to links, so a query is ignored.
  if (folder === undefined) return null
  const portalUrl = `${url.origin}${folder}`
  const fragment = url.hash.slice(1)
  if (page === pages.invite) return isInvite(fragment) ? { kind: 'invite', portalUrl, invite: fragment } : null
  const [, prefix, secret, plain] = GUEST_FRAGMENT.exec(fragment) ?? []
  if (secret === undefined || plain === undefined) return null
  const fingerprint = groupedFingerprint(plain)
  if (prefix === 'glr') return page === pages.request ? { kind: 'request', portalUrl, secret, fingerprint } : null
  return page === pages.send ? { kind: 'send', portalUrl, secret, fingerprint, hasPassphrase: prefix === 'glgp' } : null
}

/** Writes a link. */
export function linkOf(link: Link): string {
  const page = `${link.portalUrl}/${pages[link.kind]}#`
  switch (link.kind) {
    case 'invite':
      return `${page}${link.invite}`
    case 'request':
      return `${page}glr_${link.secret}.${plainFingerprint(link.fingerprint)}`
    case 'send':
      return `${page}${link.hasPassphrase ? 'glgp' : 'glg'}_${link.secret}.${plainFingerprint(link.fingerprint)}`
  }
}
