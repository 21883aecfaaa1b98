/** The file that a test has made, sent to the portal that it has scripted. */
import type { SendOutcome } from '../../src/sender/index.ts'
import { type SendOptions, send } from '../../src/sender/node.ts'
import type { TestFolder } from './folder.ts'
import type { ScriptedPortal } from './scripted-portal.ts'

export function sendFile(
  portal: ScriptedPortal,
  folder: TestFolder,
  options: Partial<SendOptions> = {},
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
