/**
 * Starts workers. The page's security policy accepts a script address only from a Trusted Types policy of this name.
 * This module defines that policy, and it accepts the page's own scripts only.
 */

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(address: string): string },
  ): { createScriptURL(address: string): string }
}

const POLICY_NAME = 'golooader'
const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes }

function ownScript(address: string): string {
  const url = new URL(address, import.meta.url)
  if (url.origin !== location.origin) throw new Error('a script of another origin')
  return url.href
}

/** Browsers without Trusted Types accept the plain address. */
const policy = trustedTypes?.createPolicy(POLICY_NAME, { createScriptURL: ownScript }) ?? { createScriptURL: ownScript }

/** @param address the result of `import address from './x-worker.ts?worker&url'` */
export function startWorker(address: string): Worker {
  return new Worker(policy.createScriptURL(address), { type: 'module' })
}
