/**
 * What browsers are told about answers of the portal. The page may run its own scripts and talk to its own portal, and nothing
 * else: a name or a text of somebody else that gets into it as markup could run nothing and send nothing away. Everything else
 * that the portal says is for programs, and no document at all.
 */

/** A token and keys are in reach of the page's scripts, so that none but the portal's own files can become one. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types golooader',
].join('; ')

/**
 * A worker has the policy of its own script's answer, not that of the page. The one that hashes parts compiles WebAssembly, which
 * the page itself may not; it loads nothing, talks to nobody but the page, and has neither token nor keys.
 */
const COMPILING_WORKER_POLICY = [
  "default-src 'none'",
  "script-src 'wasm-unsafe-eval'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

/** Name of its script, as the page's build makes it. */
const COMPILING_WORKER = /^part-digests-worker-[\w-]+\.js$/

/** What no page of this kind has a use for. */
const PERMISSIONS = ['camera', 'geolocation', 'microphone', 'payment', 'usb'].map((name) => `${name}=()`).join(', ')

/**
 * Of everything else. Some of it others have written, names and reasons above all: should a browser ever be brought to show it,
 * it is plain text of no origin.
 */
export const answerHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
}

/** Of the page and of what it loads, with one exception. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': PERMISSIONS,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

const compilingWorkerHeaders = { ...pageHeaders, 'content-security-policy': COMPILING_WORKER_POLICY }

/** @param name of what the page loads, without the folder */
export function assetHeaders(name: string): Readonly<Record<string, string>> {
  return COMPILING_WORKER.test(name) ? compilingWorkerHeaders : pageHeaders
}
