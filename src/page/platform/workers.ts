/**
 * Starting workers. The page's security policy lets a script's address be used only when a policy of this name has made it: this
 * is the only one, and it makes addresses of the page's own scripts.
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

/** Browsers without Trusted Types take the address as it is. */
const policy = trustedTypes?.createPolicy(POLICY_NAME, { createScriptURL: ownScript }) ?? { createScriptURL: ownScript }

/** @param address what `import address from './x-worker.ts?worker&url'` gives */
export function startWorker(address: string): Worker {
  return new Worker(policy.createScriptURL(address), { type: 'module' })
}
