/** Signatures, compared with the example of the specification and with HMAC of Node. */
import { createHmac } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { expect, test } from 'vitest'
import { isWebhookSecret, newWebhookSecret } from '../../../src/protocol/index.ts'

test('the example of the specification', () => {
  // https://github.com/standard-webhooks/standard-webhooks: the vector that its libraries share.
  const signer = new Webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
  const signature = signer.sign('msg_p5jXN8AQM9LWM0D4loKWxJek', new Date(1_614_265_330_000), '{"test": 2432232314}')
  expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})

test('random secrets sign as HMAC-SHA256 does', () => {
  for (let count = 0; count < 20; count++) {
    const secret = newWebhookSecret()
    expect(isWebhookSecret(secret)).toBe(true)
    const [at, body] = [new Date(), JSON.stringify({ type: 'transfer.stored', who: 'é ✓', count })]
    const signed = `msg_1.${Math.floor(at.getTime() / 1000)}.${body}`
    const expected = createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64')).update(signed)
    expect(new Webhook(secret).sign('msg_1', at, body)).toBe(`v1,${expected.digest('base64')}`)
  }
})

test.each([
  '',
  'whsec_',
  'whsec_AAAA',
  `whsec_${'A'.repeat(31)}`,
  `whsec_${'A'.repeat(43)}`,
  'A'.repeat(44),
  `whsec_${'A'.repeat(96)}`,
])('"%s" is no secret', (text) => {
  expect(isWebhookSecret(text)).toBe(false)
})
