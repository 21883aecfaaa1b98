#!/bin/sh
# wget 1.21.3: when a download breaks off, the same call continues it with `Range`, and never asks whether the file is still the same: it sends
# no If-Range, and does not compare ETag, Last-Modified or the size of the 206 with those of the first answer. If the file was replaced in
# between, the result begins with the old one and ends with the new one, and the exit code is 0. The manual warns of this for --continue,
# which is not given here.
#
# Seen: exit code 0: 50000 bytes of version one, 50000 of version two
# What helps: --tries=1 and a retry of your own; `curl --retry`, which begins at the start again; a checksum.
#
# Needs Debian's package wget, and Node.js.
set -eu
folder=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.cjs <<'JS'
const http = require('node:http')
const { writeFileSync } = require('node:fs')
const SIZE = 100000
let version = 'one'
const server = http.createServer((request, response) => {
  const { range, 'if-range': wanted } = request.headers
  const etag = `"${version}"`
  const from = range !== undefined && (wanted ?? etag) === etag ? Number(/\d+/.exec(range)[0]) : 0
  const modified = new Date(version === 'one' ? '2025-11-01' : '2025-11-02').toUTCString()
  const head = { etag, 'last-modified': modified, 'accept-ranges': 'bytes', 'content-length': SIZE - from }
  if (from === 0) response.writeHead(200, head)
  else response.writeHead(206, { ...head, 'content-range': `bytes ${from}-${SIZE - 1}/${SIZE}` })
  if (version === 'two') return response.end(Buffer.alloc(SIZE - from, '2'))
  // The line breaks in the middle, and meanwhile the file is replaced.
  version = 'two'
  response.write(Buffer.alloc(SIZE / 2, '1'), () => setTimeout(() => response.destroy(), 200))
})
server.listen(0, '127.0.0.1', () => writeFileSync('port', String(server.address().port)))
JS
node server.cjs &
server=$!
until [ -s port ]; do sleep 0.1; done
status=0
wget -q -O file "http://127.0.0.1:$(cat port)/file" || status=$?
bytes() { tr -cd "$1" <file | wc -c | tr -d ' '; }
seen="exit code $status: $(bytes 1) bytes of version one, $(bytes 2) of version two"
echo "$(wget --version | head -n 1 | cut -d ' ' -f 1-3): $seen"
[ "$seen" = 'exit code 0: 50000 bytes of version one, 50000 of version two' ]
