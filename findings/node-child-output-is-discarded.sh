#!/bin/sh
# Node.js 24.21.0 discards the output of a child process when the child ends before somebody has begun to read. It makes the streams of an
# ended child flow, also those that were paused with pause(). A program that does something else first, a request for instance, then reads
# an empty stream that ends without an error. Everything up to the size of a pipe and a buffer (about 128 KiB) gets lost in this way.
# So tus-js-client 4.3.1, which creates the upload before it reads, uploads the output of `seq` as an empty file, and reports success.
#
# Seen: of 3893 bytes are read: 0, after pause() 0, with a listener for 'readable' 3893; by tus-js-client 0, success
# What helps: begin to read, or add a listener for 'readable' that stays, in the same turn as spawn().
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 tus-js-client@4.3.1
cat >try.cjs <<'JS'
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const http = require('node:http')
const { Upload } = require('tus-js-client')

/** @returns how many bytes are read of the output, if that begins once the child has ended */
async function readLater(prepare) {
  const child = spawn('seq', ['1000'])
  prepare(child.stdout)
  await once(child, 'exit')
  await new Promise(setImmediate)
  let bytes = 0
  for await (const some of child.stdout) bytes += some.length
  return bytes
}

/** @returns how many bytes the server gets */
async function upload() {
  const child = spawn('seq', ['1000'])
  let bytes = 0
  const server = http.createServer(async (request, response) => {
    // The upload is created, but the child has ended before its client hears of it.
    if (request.method === 'POST' && child.exitCode === null) await once(child, 'exit')
    for await (const some of request) bytes += some.length
    const said = { 'tus-resumable': '1.0.0', 'upload-offset': String(bytes) }
    response.writeHead(request.method === 'POST' ? 201 : 204, { ...said, ...(request.method === 'POST' && { location: '/upload' }) }).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const endpoint = `http://127.0.0.1:${server.address().port}/`
  const options = { endpoint, uploadLengthDeferred: true, chunkSize: 65536, retryDelays: null }
  await new Promise((onSuccess, onError) => new Upload(child.stdout, { ...options, onSuccess, onError }).start())
  server.close()
  return bytes
}

async function main() {
  const plain = await readLater(() => {})
  const paused = await readLater((output) => output.pause())
  const listening = await readLater((output) => output.on('readable', () => {}))
  console.log(`of 3893 bytes are read: ${plain}, after pause() ${paused}, with a listener for 'readable' ${listening}; by tus-js-client ${await upload()}, success`)
}
main()
JS
seen=$(node_modules/node/bin/node try.cjs)
echo "$(node_modules/node/bin/node --version), tus-js-client 4.3.1: $seen"
[ "$seen" = "of 3893 bytes are read: 0, after pause() 0, with a listener for 'readable' 3893; by tus-js-client 0, success" ]
