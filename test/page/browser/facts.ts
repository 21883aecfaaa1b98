/** The features of this browser by itself, for the rows of `docs/browsers.md`. */

export interface Facts {
  readonly cryptography: string
  readonly hasOwnFiles: boolean
  readonly stealsLocks: boolean
  readonly broadcasts: boolean
  readonly enforcesTrustedTypes: boolean
  /** What a server receives from `fetch` with a stream body; or the error name. */
  readonly streamedBody: string
  readonly knowsUsing: boolean
  readonly iteratesStreams: boolean
  readonly choosesFolders: boolean
}

const AES_BYTES = 8 * 1024 * 1024

/** @param echoPath a path that returns the request body */
export async function look(echoPath: string): Promise<Facts> {
  return {
    cryptography: await outcome(cryptography),
    hasOwnFiles: (await outcome(async () => String(await navigator.storage.getDirectory()))).includes('Directory'),
    stealsLocks: (await outcome(stealLock)) === 'stolen',
    broadcasts: (await outcome(broadcast)) === 'heard',
    enforcesTrustedTypes: (await outcome(async () => assignHtml())) === 'TypeError',
    streamedBody: await outcome(() => sendStream(echoPath)),
    knowsUsing: 'dispose' in Symbol,
    iteratesStreams: Symbol.asyncIterator in ReadableStream.prototype,
    choosesFolders: 'showDirectoryPicker' in globalThis,
  }
}

async function outcome(act: () => Promise<string>): Promise<string> {
  try {
    return await act()
  } catch (error) {
    return (error as Error).name
  }
}

async function cryptography(): Promise<string> {
  const { subtle } = crypto
  const signing = (await subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair
  await subtle.sign('Ed25519', signing.privateKey, new Uint8Array(1))
  const agreeing = (await subtle.generateKey('X25519', false, ['deriveBits'])) as CryptoKeyPair
  const secret = await subtle.deriveBits({ name: 'X25519', public: agreeing.publicKey }, agreeing.privateKey, 256)
  for (const { publicKey } of [signing, agreeing]) await subtle.exportKey('raw', publicKey)
  const material = await subtle.importKey('raw', secret, 'HKDF', false, ['deriveKey'])
  const nothing = new Uint8Array()
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: nothing, info: nothing }
  const key = await subtle.deriveKey(hkdf, material, { name: 'AES-GCM', length: 256 }, false, ['encrypt'])
  const sealed = await subtle.encrypt({ name: 'AES-GCM', iv: new Uint8Array(12) }, key, new Uint8Array(AES_BYTES))
  return `${sealed.byteLength - AES_BYTES} bytes of tag`
}

/** Whether the first holder of a lock learns that another holder stole it. */
async function stealLock(): Promise<string> {
  const held = Promise.withResolvers<void>()
  const first = navigator.locks.request('fact', () => {
    held.resolve()
    return new Promise<never>(() => {})
  })
  await held.promise
  await navigator.locks.request('fact', { steal: true }, () => {})
  return first.catch((error: DOMException) => (error.name === 'AbortError' ? 'stolen' : error.name))
}

function broadcast(): Promise<string> {
  const [from, to] = [new BroadcastChannel('fact'), new BroadcastChannel('fact')]
  return new Promise((resolve) => {
    to.onmessage = () => {
      from.close()
      to.close()
      resolve('heard')
    }
    from.postMessage('')
  })
}

function assignHtml(): string {
  document.createElement('div').innerHTML = 'text'
  return 'assigned'
}

async function sendStream(echoPath: string): Promise<string> {
  const body = new Blob(['streamed']).stream()
  const answer = await fetch(echoPath, { method: 'POST', body, duplex: 'half' } as RequestInit)
  return answer.text()
}
