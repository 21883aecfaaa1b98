#!/bin/sh
# tus-js-client 4.3.1 in Node, with a file stream and the protocol of a draft of the IETF: when a file goes in several requests, the last one
# has `Upload-Complete: ?0`, "more will follow", and then the client reports success. The server never learns that the upload is complete.
# Its FileSource calls a slice the last one only if it is as long as the whole file. With a Buffer the last request has `?1`.
#
# Seen: a file: ?0 ?0, success; a buffer: ?0 ?1, success
# What helps: give it a Buffer, or the whole file in one request that does not break.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund tus-js-client@4.3.1
printf 0123456789 >ten
cat >try.cjs <<'JS'
const { createReadStream, readFileSync } = require('node:fs')
const http = require('node:http')
const { Upload } = require('tus-js-client')
let offset = 0
let said = []
const server = http.createServer((request, response) => {
  request.on('data', (bytes) => { offset += bytes.length })
  request.on('end', () => {
    if (request.method === 'PATCH') said.push(request.headers['upload-complete'])
    const created = request.method === 'POST'
    response.writeHead(created ? 201 : 204, created ? { location: '/upload' } : { 'upload-offset': String(offset) })
    response.end()
  })
})
const send = (file) => new Promise((resolve, reject) => {
  const endpoint = `http://127.0.0.1:${server.address().port}/`
  const options = { endpoint, protocol: 'ietf-draft-05', chunkSize: 5, retryDelays: null, onSuccess: resolve, onError: reject }
  new Upload(file, options).start()
})
server.listen(0, '127.0.0.1', async () => {
  const results = []
  for (const [name, file] of [['a file', createReadStream('ten')], ['a buffer', readFileSync('ten')]]) {
    offset = 0
    said = []
    await send(file)
    results.push(`${name}: ${said.join(' ')}, success`)
  }
  console.log(results.join('; '))
  process.exit()
})
JS
seen=$(node try.cjs)
echo "tus-js-client 4.3.1, node $(node --version): $seen"
[ "$seen" = 'a file: ?0 ?0, success; a buffer: ?0 ?1, success' ]
