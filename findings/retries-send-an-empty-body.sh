#!/bin/sh
# An upload from a stream is tried again without its content, and counts as a success. A stream can be read once: the first attempt has read it
# when the server, or a proxy before it, answers 503. The second attempt sends an empty body, well-formed, and the server stores an empty
# file over the first one. Seen with curl 7.88.1 (--retry with `-T -`), undici 8.13.1 (RetryAgent: fetch with a stream, request with a
# generator), axios 1.21.1 with axios-retry 4.5.0 (maxRedirects 0) and node-fetch 3.3.2 with fetch-retry 6.0.0. PUT is among the methods that
# they repeat. undici refuses a Node stream, got 16.1.0 refuses all streams, and ky 2.1.0 keeps a copy and sends the whole again.
#
# Seen: curl: 588895, 0, done; undici fetch: 6, 0, done; undici request: 6, 0, done; axios-retry: 6, 0, done; fetch-retry: 6, 0, done;
#   got: 6, refused; ky: 6, 6, done (bytes of each attempt, and the result)
# What helps: a file instead of a stream; a retry of your own that opens the source again; Repr-Digest, where the server checks it.
#
# Needs Debian's package curl.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 undici@8.13.1 axios@1.21.1 axios-retry@4.5.0 node-fetch@3.3.2 fetch-retry@6.0.0 got@16.1.0 ky@2.1.0
cat >try.mjs <<'JS'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { Readable } from 'node:stream'
import axios from 'axios'
import axiosRetry from 'axios-retry'
import fetchRetry from 'fetch-retry'
import got from 'got'
import ky from 'ky'
import nodeFetch from 'node-fetch'
import { Agent, fetch, RetryAgent, request } from 'undici'

let attempts = []
const server = http.createServer(async (request, response) => {
  let bytes = 0
  for await (const some of request) bytes += some.length
  attempts.push(bytes)
  response.writeHead(attempts.length === 1 ? 503 : 201).end()
})
await once(server.listen(0, '127.0.0.1'), 'listening')
const url = `http://127.0.0.1:${server.address().port}/file`

async function* content() {
  yield Buffer.from('abc')
  yield Buffer.from('def')
}
const nodeStream = () => Readable.from(content())
const webStream = () => ReadableStream.from(content())
const dispatcher = new RetryAgent(new Agent(), { minTimeout: 50 })
const withRetries = axios.create({ maxRedirects: 0 })
axiosRetry(withRetries, { retries: 1 })

async function curl() {
  const child = spawn('sh', ['-c', `seq 100000 | curl -s --fail --retry 1 --retry-delay 1 -T - ${url}`])
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error('curl failed')
}

const uploads = {
  curl,
  'undici fetch': () => fetch(url, { method: 'PUT', body: webStream(), duplex: 'half', dispatcher }),
  'undici request': () => request(url, { method: 'PUT', body: content(), dispatcher }),
  'axios-retry': () => withRetries.put(url, nodeStream()),
  'fetch-retry': () => fetchRetry(nodeFetch, { retries: 1, retryDelay: 50, retryOn: [503] })(url, { method: 'PUT', body: nodeStream() }),
  got: () => got.put(url, { body: nodeStream(), retry: { limit: 1 } }),
  ky: () => ky.put(url, { body: webStream(), duplex: 'half', retry: { limit: 1 } }),
}
const results = []
for (const [name, upload] of Object.entries(uploads)) {
  attempts = []
  const end = await upload().then(() => 'done', () => 'refused')
  results.push(`${name}: ${[...attempts, end].join(', ')}`)
}
console.log(results.join('; '))
process.exit()
JS
seen=$(node_modules/node/bin/node try.mjs)
echo "$(node_modules/node/bin/node --version), curl $(curl --version | cut -d ' ' -f 2 | head -n 1): $seen"
[ "$seen" = 'curl: 588895, 0, done; undici fetch: 6, 0, done; undici request: 6, 0, done; axios-retry: 6, 0, done; fetch-retry: 6, 0, done; got: 6, refused; ky: 6, 6, done' ]
