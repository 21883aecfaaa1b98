import { expect, onTestFinished, test } from 'vitest'
import { isLoopback, UnusableConnectionError } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'

const here = ['127.0.0.1', '127.1.2.3', '[::1]', '::1', 'localhost', 'LOCALHOST', 'portal.localhost']
const elsewhere = [
  ...['0.0.0.0', '[::]', '128.0.0.1', '127.0.0.1.example', '127.example', 'localhost.example', 'notlocalhost'],
  ...['10.0.0.1', '192.0.2.1', '[::2]', '[::ffff:127.0.0.1]', 'files.example', ''],
]

test.each(here)('%s is this machine', (host) => expect(isLoopback(host)).toBe(true))
test.each(elsewhere)('%j is not this machine', (host) => expect(isLoopback(host)).toBe(false))

test('a transport to another machine accepts https, or plain http on request, and nothing else', () => {
  const make = (url: string, options = {}) => {
    const transport = nodeTransport(url, options)
    onTestFinished(() => transport.close())
    return transport
  }
  for (const url of [
    'http://files.example',
    'http://192.0.2.1:7878/gl',
    'http://2147483649',
    'ftp://files.example',
    'x',
  ]) {
    expect(() => make(url), url).toThrow(UnusableConnectionError)
    expect(() => make(url), url).toThrow(expect.objectContaining({ code: 'insecure-transport' }))
  }
  expect(() => make('ftp://files.example', { insecure: true })).toThrow(UnusableConnectionError)
  make('http://files.example', { insecure: true })
  make('https://files.example/gl')
  // Another spelling of 127.0.0.1 in a URL.
  make('http://2130706433')
})
