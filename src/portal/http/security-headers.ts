/**
 * Security headers for browsers. The page may only run its own scripts and talk to its own portal. So even if a name or text of
 * another person got into the page as markup, it could not run code or send data away. All other answers of the portal are for
 * programs and must not be shown as documents.
 */

/** Scripts of the page can reach a token and keys. So only the portal's own files may become scripts. */
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
 * A worker has the policy of its own script's answer, not that of the page. The worker for parts compiles WebAssembly, which the page
 * itself must not. It loads nothing and talks only to the page. It has neither the token nor the keys of the account; the page gives
 * it the key of the one file that it works on.
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

/** The name of its script in the built page. */
const COMPILING_WORKER = /^part-worker-[\w-]+\.js$/

/** Features of browsers that the page does not use. */
const PERMISSIONS = ['camera', 'geolocation', 'microphone', 'payment', 'usb'].map((name) => `${name}=()`).join(', ')

/**
 * For all other answers. They contain text of other people, for instance names and reasons. If a browser shows such an answer
 * nevertheless, it treats it as plain text without an origin.
 */
export const answerHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
}

/** For the page and its files, with one exception. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': PERMISSIONS,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

const compilingWorkerHeaders = { ...pageHeaders, 'content-security-policy': COMPILING_WORKER_POLICY }

/** @param name of a file of the page, without its folder */
export function assetHeaders(name: string): Readonly<Record<string, string>> {
  return COMPILING_WORKER.test(name) ? compilingWorkerHeaders : pageHeaders
}
