/** Webhooks of an account: the portal posts notifications to an address, signed by the scheme of Standard Webhooks. */
import { never, sleep } from '../async/index.ts'
import { RemoteProblem } from '../client/index.ts'
import { type Connection, shortRetryPolicy } from '../profile/index.ts'
import {
  checkOptions,
  isTransferId,
  isWebhookKind,
  isWebhookSecret,
  type NotificationKind,
  newTransferId,
  newWebhookSecret,
  type OptionRule,
  optionsInvalid,
  type Webhook,
  type WebhookMessage,
  webhookMessagesPerPageMax,
} from '../protocol/index.ts'
import { asLibraryCall } from './error.ts'

export type { Webhook, WebhookMessage } from '../protocol/index.ts'

export interface NewWebhookOptions {
  /** The address, `https://…`. Plain http, and addresses that are not public, only where the operator allows them. */
  readonly url: string
  /** The notifications that are posted. Default: `delivered` and `failed`. */
  readonly on?: readonly NotificationKind[]
  /** `whsec_` and the base64 of 24 to 64 bytes. Default: a new one. */
  readonly secret?: string
  /** Posts the notifications of all accounts. Only for operators. Default: false. */
  readonly isWholePortal?: boolean
  /** Aborts the call. */
  readonly signal?: AbortSignal
}

/** A new webhook, with the secret by which its receiver verifies messages. The portal tells it to nobody, so it has to be kept. */
export interface AddedWebhook extends Webhook {
  readonly secret: string
}

interface CallOptions {
  /** Aborts the call. */
  readonly signal?: AbortSignal
}

const newRules = {
  url: 'text',
  on: 'texts?',
  secret: 'text?',
  isWholePortal: 'flag?',
  signal: 'signal?',
} as const satisfies Record<keyof NewWebhookOptions, OptionRule>
const KINDS_DEFAULT: readonly NotificationKind[] = ['delivered', 'failed']
const MESSAGES_DEFAULT = 20
/** How often a test is asked for its outcome. */
const TEST_LOOK_MS = 250

export class Webhooks {
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Makes a webhook, for what happens from now on.
   *
   * @throws GoLooaderError `options-invalid`, `webhook-refused`, `too-many-webhooks`; `not-found` for the whole portal, if this account is
   *   no operator's
   */
  add(options: NewWebhookOptions): Promise<AddedWebhook> {
    return this.#call('webhooks.add()', options, newRules, async (signal) => {
      const { url, on = KINDS_DEFAULT, secret = newWebhookSecret(), isWholePortal = false } = options
      const unknown = on.find((one) => !isWebhookKind(one))
      if (unknown !== undefined) throw optionsInvalid(`'${unknown}' is not the name of a notification`)
      if (!isWebhookSecret(secret)) throw optionsInvalid('a secret is whsec_ and the base64 of 24 to 64 bytes')
      const webhook = { webhookId: newTransferId(), url, on: [...new Set(on)], secret, isWholePortal }
      const made = await this.#retry(signal, () => this.#connection.client.webhooks.make(webhook, { signal }))
      return { ...made, secret }
    })
  }

  /** The webhooks of this account, oldest first. */
  list(options: CallOptions = {}): Promise<readonly Webhook[]> {
    return this.#call('webhooks.list()', options, { signal: 'signal?' }, (signal) => this.#list(signal))
  }

  /** Removes a webhook, and what waits for it. @throws GoLooaderError `not-found` */
  remove(webhookId: string, options: CallOptions = {}): Promise<Webhook> {
    return this.#call('webhooks.remove()', options, { signal: 'signal?' }, async (signal) => {
      requireWebhookId(webhookId)
      const known = (await this.#list(signal)).find((one) => one.webhookId === webhookId)
      let tries = 0
      return this.#retry(signal, () => {
        tries++
        return this.#connection.client.webhooks.remove(webhookId, { signal })
      }).catch((error: unknown) => {
        // The answer to an earlier try was lost.
        if (known !== undefined && tries > 1 && error instanceof RemoteProblem && error.code === 'not-found')
          return known
        throw error
      })
    })
  }

  /**
   * Has the portal post a message of the type `webhook.test`, and waits for its outcome.
   *
   * @returns the message, whose `state` is `delivered` or `failed`
   * @throws GoLooaderError `not-found`, `webhook-disabled`
   */
  test(webhookId: string, options: CallOptions = {}): Promise<WebhookMessage> {
    return this.#call('webhooks.test()', options, { signal: 'signal?' }, async (signal) => {
      requireWebhookId(webhookId)
      const testId = newTransferId()
      for (;;) {
        const ask = () => this.#connection.client.webhooks.test(webhookId, { testId }, { signal })
        const message = await this.#retry(signal, ask)
        // While another test waits, the portal answers with that one.
        const isMine = message.messageId.endsWith(testId.replaceAll('-', ''))
        if (isMine && message.state !== 'waiting') return message
        await sleep(TEST_LOOK_MS, signal)
      }
    })
  }

  /** The newest messages to a webhook, newest first. @param options `limit`: how many, 20 by default. @throws GoLooaderError `not-found` */
  log(webhookId: string, options: CallOptions & { readonly limit?: number } = {}): Promise<readonly WebhookMessage[]> {
    const rules = { signal: 'signal?', limit: 'number?' } as const
    return this.#call('webhooks.log()', options, rules, async (signal) => {
      requireWebhookId(webhookId)
      const { limit: count = MESSAGES_DEFAULT } = options
      const gathered: WebhookMessage[] = []
      for (let before: string | null = null; gathered.length < count; ) {
        const limit = Math.min(count - gathered.length, webhookMessagesPerPageMax)
        const page: { limit: number; before?: string } = { limit, ...(before === null ? {} : { before }) }
        const ask = () => this.#connection.client.webhooks.messages(webhookId, page, { signal })
        const answer = await this.#retry(signal, ask)
        gathered.push(...answer.messages)
        if (answer.before === null || answer.before === before) break
        before = answer.before
      }
      return gathered.slice(0, count)
    })
  }

  async #list(signal: AbortSignal): Promise<readonly Webhook[]> {
    return (await this.#retry(signal, () => this.#connection.client.webhooks.list({ signal }))).webhooks
  }

  #retry<Result>(signal: AbortSignal, act: () => Promise<Result>): Promise<Result> {
    return shortRetryPolicy(signal).retry(act)
  }

  #call<Options extends CallOptions, Result>(
    name: string,
    options: Options,
    rules: Readonly<Record<string, OptionRule>>,
    act: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    return asLibraryCall(async () => {
      checkOptions(name, options, rules)
      return act(options.signal ?? never)
    })
  }
}

function requireWebhookId(text: string): void {
  if (!isTransferId(text)) throw optionsInvalid(`'${text}' is not the id of a webhook`)
}
