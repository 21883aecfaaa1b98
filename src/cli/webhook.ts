import { type Command, InvalidArgumentError } from 'commander'
import { GoLooaderError } from '../library/error.ts'
import type { AddedWebhook, Webhook, WebhookMessage } from '../library/webhooks.ts'
import { isTransferId, isWebhookKind, type NotificationKind, webhookKinds } from '../protocol/index.ts'
import { exitCodes, interruptSignal } from './exit.ts'
import {
  flag,
  insecureOption,
  jsonOption,
  listOption,
  openedProfile,
  option,
  type ProfileFlags,
  profileOption,
  systemCaOption,
  wholeNumber,
} from './options.ts'
import { print, sayError } from './output.ts'
import { localTime, printable } from './text.ts'

interface Flags extends ProfileFlags {
  readonly json?: boolean
}

export function webhookCommand(program: Command): void {
  const webhook = program
    .command('webhook')
    .summary('have the portal post your notifications to an address')
    .description(
      'Manages webhooks: addresses to which the portal posts the notifications about your transfers, signed by the scheme of\n' +
        'Standard Webhooks, so that a program of yours learns of them without staying connected. Each is posted at least once.',
    )
    .addHelpText(
      'after',
      `
Examples:
  golooader webhook add https://example.org/hook --on delivered,failed      prints an id, and the secret of the signatures
  golooader webhook test 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c               post a test, and say what was answered
  golooader webhook                                                         list them
  golooader webhook log 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c                what was posted, and what waits`,
    )

  withProfile(
    webhook
      .command('list', { isDefault: true })
      .summary('show your webhooks (the default)')
      .description('Shows your webhooks: their state, and how many messages wait.'),
  ).action(async (flags: Flags) => {
    await using me = await openedProfile(flags)
    showAll(await me.webhooks.list({ signal: interruptSignal() }), flags.json === true)
  })

  withProfile(
    webhook
      .command('add')
      .summary('make a webhook, for what happens from now on')
      .description(
        'Makes a webhook and prints its id and its secret. The secret is shown this once: with it the receiver verifies messages.\n' +
          'The address has to be https and public, unless the operator of the portal allows others.',
      )
      .argument('<url>', 'the address to which notifications are posted')
      .addOption(
        listOption('--on <kinds>', `notifications to post, of ${webhookKinds.join(', ')}`, kinds).default(
          ['delivered', 'failed'],
          'delivered,failed',
        ),
      )
      .addOption(flag('--whole-portal', 'post the notifications of all accounts; for operators')),
  ).action(async (url: string, flags: Flags & { on: readonly NotificationKind[]; wholePortal?: boolean }) => {
    const signal = interruptSignal()
    await using me = await openedProfile(flags)
    const isWholePortal = flags.wholePortal === true
    const adding = me.webhooks.add({ url, on: flags.on, isWholePortal, signal })
    const webhook = await unlessNotFound(adding, 'Only an operator may have a webhook for the whole portal')
    if (webhook !== null) showAdded(webhook, flags.json === true)
  })

  withProfile(
    webhook
      .command('remove')
      .summary('remove a webhook, and what waits for it')
      .description('Removes a webhook. Nothing is posted any more, not even what waits.')
      .argument('<webhook>', 'id of the webhook: golooader webhook', webhookId),
  ).action(async (id: string, flags: Flags) => {
    await using me = await openedProfile(flags)
    const removed = await unlessNotFound(me.webhooks.remove(id, { signal: interruptSignal() }))
    if (removed === null) return
    print(
      flags.json === true
        ? `${JSON.stringify(removed)}\n`
        : `removed: nothing more is posted to ${printable(removed.url)}\n`,
    )
  })

  withProfile(
    webhook
      .command('test')
      .summary('post a test message, and say what was answered')
      .description(
        `Posts one message of the type webhook.test, and waits for its outcome. Exit code ${exitCodes.failed} when it was not accepted.`,
      )
      .argument('<webhook>', 'id of the webhook: golooader webhook', webhookId),
  ).action(async (id: string, flags: Flags) => {
    await using me = await openedProfile(flags)
    const message = await unlessNotFound(me.webhooks.test(id, { signal: interruptSignal() }))
    if (message === null) return
    print(flags.json === true ? `${JSON.stringify(message)}\n` : `${outcomeText(message)}\n`)
    if (message.state === 'failed') process.exitCode = exitCodes.failed
  })

  withProfile(
    webhook
      .command('log')
      .summary('show what was posted to a webhook, and what waits')
      .description(
        'Shows the newest messages to a webhook, newest first. The portal remembers them for a week at most.',
      )
      .argument('<webhook>', 'id of the webhook: golooader webhook', webhookId)
      .addOption(option('--limit <number>', 'how many').argParser(wholeNumber).default(20)),
  ).action(async (id: string, flags: Flags & { limit: number }) => {
    await using me = await openedProfile(flags)
    const messages = await unlessNotFound(me.webhooks.log(id, { limit: flags.limit, signal: interruptSignal() }))
    if (messages === null) return
    if (flags.json !== true && messages.length === 0) print(`nothing yet: golooader webhook test ${id}\n`)
    for (const message of messages) print(flags.json === true ? `${JSON.stringify(message)}\n` : `${lineOf(message)}\n`)
  })
}

function withProfile(command: Command): Command {
  return command
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
}

/** Says what is not there, and sets the exit code; null then. */
async function unlessNotFound<Result>(
  asked: Promise<Result>,
  text = 'The portal has no such webhook of yours. See them with: golooader webhook',
): Promise<Result | null> {
  try {
    return await asked
  } catch (error) {
    if (!(error instanceof GoLooaderError) || error.code !== 'not-found') throw error
    sayError(`golooader: ${text}`)
    process.exitCode = exitCodes.refused
    return null
  }
}

function webhookId(text: string): string {
  if (isTransferId(text)) return text
  throw new InvalidArgumentError(`'${printable(text)}' is not the id of a webhook. See them with: golooader webhook`)
}

function kinds(text: string): NotificationKind[] {
  return text.split(',').map((one) => {
    const kind = one.trim()
    if (isWebhookKind(kind)) return kind
    throw new InvalidArgumentError(`'${printable(kind)}' is no notification: ${webhookKinds.join(', ')}.`)
  })
}

function showAdded(webhook: AddedWebhook, isJson: boolean): void {
  if (isJson) return void print(`${JSON.stringify(webhook)}\n`)
  print(`${webhook.webhookId}\n${webhook.secret}\n`)
  sayError(
    `The second line is the secret by which the receiver verifies messages. It is not shown again.\nTry it: golooader webhook test ${webhook.webhookId}`,
  )
}

function showAll(webhooks: readonly Webhook[], isJson: boolean): void {
  if (!isJson && webhooks.length === 0) print('no webhooks yet: golooader webhook add https://…\n')
  for (const webhook of webhooks) print(isJson ? `${JSON.stringify(webhook)}\n` : `${webhookText(webhook)}\n`)
}

function webhookText(webhook: Webhook): string {
  const { webhookId: id, url, on, isWholePortal, waitingCount } = webhook
  const whose = isWholePortal ? ' of the whole portal' : ''
  const waiting = waitingCount === 0 ? '' : `, ${waitingCount} waiting`
  return `${id}  ${stateText(webhook)}${waiting}\n  ${on.join(', ')}${whose} to ${printable(url)}`
}

function stateText({ state, failingSince, disabledAt, reason }: Webhook): string {
  if (state === 'failing' && failingSince !== undefined) return `failing since ${localTime(failingSince)}`
  if (state === 'disabled' && disabledAt !== undefined) {
    return `disabled since ${localTime(disabledAt)}: ${printable(reason ?? '')}`
  }
  return state
}

function lineOf(message: WebhookMessage): string {
  const { createdAt, type, transferId } = message
  return `${localTime(createdAt)}  ${type}${transferId === null ? '' : ` ${transferId}`}  ${outcomeText(message)}`
}

function outcomeText({ state, status, reason, attempts, nextAt }: WebhookMessage): string {
  const tries = attempts === 1 ? '' : ` after ${attempts} tries`
  if (state === 'delivered') return `delivered: HTTP status ${status}${tries}`
  const why = reason === undefined ? '' : `: ${printable(reason)}`
  if (state === 'failed') return `failed${tries}${why}`
  if (nextAt === undefined) return 'waits for an earlier one of its transfer'
  return attempts === 0 ? 'waits' : `waits until ${localTime(nextAt)}${tries}${why}`
}
