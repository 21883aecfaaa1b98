/** Sends the file of a test to a scripted portal. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach } from 'vitest'
import type { SendEvent, SendOutcome } from '../../src/sender/index.ts'
import { type SendFilesOptions, send } from '../../src/sender/node.ts'
import { TestFolder } from './folder.ts'
import { ScriptedPortal } from './scripted-portal.ts'

export function sendFile(
  portal: ScriptedPortal,
  folder: TestFolder,
  options: Partial<SendFilesOptions> = {},
): Promise<SendOutcome[]> {
  return send({
    client: portal.client,
    identity: { portalUrl: 'http://portal.test', account: 'ada' },
    trust: null,
    stateFolder: folder.join('state'),
    paths: [folder.join('file')],
    to: ['bob'],
    answerTimeoutMs: 5_000,
    waitMs: null,
    isWaiting: true,
    signal: new AbortController().signal,
    onEvent: () => {},
    ...options,
  })
}

export const PART_BYTES = 1000

/** What each test of a file begins with: a folder with the file of this content, a scripted portal, and the events of its sends. */
export function sendScene(content: Uint8Array) {
  let folder: TestFolder
  let portal: ScriptedPortal
  const events: SendEvent[] = []
  beforeEach(async () => {
    folder = await TestFolder.make()
    portal = await ScriptedPortal.start()
    events.length = 0
    await writeFile(folder.join('file'), content)
  })
  afterEach(async () => {
    await portal[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })
  return {
    events,
    get folder() {
      return folder
    },
    get portal() {
      return portal
    },
    sending(options: Partial<SendFilesOptions> = {}): Promise<SendOutcome[]> {
      const onEvent = (event: SendEvent): number => events.push(event)
      return sendFile(portal, folder, { partSizeBytes: PART_BYTES, onEvent, ...options })
    },
    /** The notifications so far. */
    told: (): string[] =>
      events.flatMap((event) => (event.type === 'notification' ? [event.notification.notification] : [])),
    /** How many transfers are in the journal. */
    journalled: async (): Promise<number> => {
      const names = await readdir(folder.join('state', 'journal'))
      const batches = await Promise.all(
        names
          .filter((name) => name.endsWith('.batch'))
          .map((name) => readFile(folder.join('state', 'journal', name), 'utf8')),
      )
      const lines = batches.flatMap((text) => text.split('\n').filter((line) => line !== ''))
      // A line is an entry, or removes one.
      const removed = lines.filter((line) => line.startsWith('{"removed"')).length
      return names.length - batches.length + lines.length - 2 * removed
    },
  }
}
