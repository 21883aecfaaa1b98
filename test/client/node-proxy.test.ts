/** Which requests go through a proxy. With a real proxy: test/proxies/outgoing.test.ts. */
import { expect, test } from 'vitest'
import { HttpProxies } from '../../src/client/node-proxy.ts'
import { NodeRoutes } from '../../src/client/node-routes.ts'
import { wayOf } from '../../src/client/node-transport.ts'

const PROXY = 'http://proxy.example:3128'

function isDirect(list: string, url: string): boolean {
  return new HttpProxies({ HTTPS_PROXY: PROXY, HTTP_PROXY: PROXY, NO_PROXY: list }).for(new URL(url)) === null
}

test.each([
  ['files.example', 'https://files.example'],
  ['files.example', 'https://a.files.example:8443'],
  ['files.example', 'https://FILES.example.'],
  ['a.test,.files.example', 'https://a.files.example'],
  ['files.example:443', 'https://files.example'],
  ['files.example:8443', 'https://files.example:8443'],
  ['10.0.0.0/8', 'http://10.20.30.40:7878'],
  ['10.0.0.1-10.0.0.9', 'http://10.0.0.5'],
  ['192.0.2.7', 'https://192.0.2.7'],
  ['[2001:db8::1]', 'https://[2001:db8::1]'],
  ['2001:db8::/32', 'https://[2001:db8:5::1]:7878'],
  ['[2001:db8::1]:7878', 'https://[2001:db8::1]:7878'],
  ['*', 'https://files.example'],
  ['', 'https://127.0.0.1:7878'],
  ['', 'https://[::1]:7878'],
  ['', 'http://portal.localhost'],
])('with NO_PROXY=%s, %s is reached directly', (list, url) => {
  expect(isDirect(list, url)).toBe(true)
})

test.each([
  ['iles.example', 'https://files.example'],
  ['files.example:8443', 'https://files.example'],
  ['10.0.0.0/8', 'http://11.0.0.1'],
  ['10.0.0.0/99', 'http://10.0.0.1'],
  ['10.0.0.9-10.0.0.1', 'http://10.0.0.5'],
  ['192.0.2', 'https://192.0.2.7'],
  ['0.2.7', 'https://192.0.2.7'],
  [' , ', 'https://files.example'],
])('with NO_PROXY=%s, %s goes through the proxy', (list, url) => {
  expect(isDirect(list, url)).toBe(false)
})

test('the variable in lower case takes precedence, and each scheme has its own', () => {
  const proxies = new HttpProxies({
    https_proxy: 'small.example',
    HTTPS_PROXY: PROXY,
    HTTP_PROXY: 'https://other.example',
  })
  expect(proxies.for(new URL('https://files.example'))).toMatchObject({
    host: 'small.example',
    port: 80,
    isSecure: false,
  })
  expect(proxies.for(new URL('http://files.example'))).toMatchObject({
    host: 'other.example',
    port: 443,
    isSecure: true,
  })
  expect(new HttpProxies({ HTTPS_PROXY: ' ' }).for(new URL('https://files.example'))).toBeNull()
})

test.each([
  ['name:p%40ss', 'name:p@ss'],
  ['name:100%', 'name:100%'],
  ['name', 'name:'],
])('the password in http://%s@… is sent, and is in no address that is shown', (credentials, sent) => {
  const proxy = new HttpProxies({ HTTPS_PROXY: `http://${credentials}@proxy.example:3128` }).for(
    new URL('https://a.example'),
  )
  expect(proxy).toMatchObject({ origin: PROXY, authorization: `Basic ${Buffer.from(sent).toString('base64')}` })
})

test('without a limit and without a proxy Node connects by itself, and large answers come in reused memory', () => {
  const times = { connectMs: 1, keepAliveMs: 1 }
  const url = new URL('https://files.example')
  const routeOf = (options: Parameters<typeof wayOf>[1]) =>
    new NodeRoutes({ ...times, ...wayOf(url.href, options) }).for(url)
  expect(routeOf({ proxies: false }).isDirect).toBe(true)
  expect(routeOf({ proxies: false, limitBytesPerSecond: 2 ** 20 }).isDirect).toBe(false)
})
