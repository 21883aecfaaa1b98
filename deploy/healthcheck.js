// Ends with 0 if the portal of this container lives. The image has neither curl nor a reason to bring it.
import { get as getHttp } from 'node:http'
import { get as getHttps } from 'node:https'

const TIMEOUT_MS = 4_000

const { GOLOOADER_LISTEN = '127.0.0.1:7878', GOLOOADER_TLS_CERT } = process.env
const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(GOLOOADER_LISTEN) ?? []
const everywhere = { '0.0.0.0': '127.0.0.1', '::': '::1' }
const get = GOLOOADER_TLS_CERT ? getHttps : getHttp

const request = get(
  {
    host: everywhere[host] ?? host,
    port,
    path: '/healthz',
    signal: AbortSignal.timeout(TIMEOUT_MS),
    // Its certificate is for its public name. This asks whether it lives, and trusts it with nothing.
    rejectUnauthorized: false,
  },
  (response) => process.exit(response.statusCode === 200 ? 0 : 1),
)
request.on('error', (error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
