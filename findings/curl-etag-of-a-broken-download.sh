#!/bin/sh
# curl 7.88.1: --etag-save writes the ETag when the head of the answer has come, and keeps it when the download breaks off. The next run of the
# same command, with --etag-compare, is told "not modified", and ends with 0: half of the file counts as up to date until the server
# changes it. --time-cond FILE with --remote-time does the same: the broken file is newer than the server's, and gets its time.
# Both are what the manual and tutorials give for a job that fetches a file only when it has changed.
#
# Seen: by ETag: exit codes 18, 0, 50000 of 100000 bytes; by time: exit codes 18, 0, 50000 of 100000 bytes
# What helps: download to another name, and rename file and ETag once curl has ended with 0.
#
# Needs Debian's package curl, and Node.js.
set -eu
folder=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.cjs <<'JS'
const http = require('node:http')
const { writeFileSync } = require('node:fs')
const asked = new Set()
const server = http.createServer((request, response) => {
  const { 'if-none-match': etag, 'if-modified-since': since } = request.headers
  const head = { etag: '"one"', 'last-modified': 'Sat, 01 Nov 2025 00:00:00 GMT' }
  if (etag === head.etag || Date.parse(since) >= Date.parse(head['last-modified'])) return response.writeHead(304, head).end()
  response.writeHead(200, { ...head, 'content-length': 100000 })
  if (asked.has(request.url)) return response.end(Buffer.alloc(100000))
  // The line breaks in the middle, once.
  asked.add(request.url)
  response.write(Buffer.alloc(50000), () => setTimeout(() => response.destroy(), 200))
})
server.listen(0, '127.0.0.1', () => writeFileSync('port', String(server.address().port)))
JS
node server.cjs &
server=$!
until [ -s port ]; do sleep 0.1; done
url=http://127.0.0.1:$(cat port)
by_etag() { curl -s --etag-compare etag --etag-save etag -o by-etag "$url/etag"; }
by_time() { curl -s --remote-time --time-cond by-time -o by-time "$url/time"; }
twice() {
  first=0
  "$1" || first=$?
  second=0
  "$1" || second=$?
  echo "exit codes $first, $second, $(wc -c <"$2" | tr -d ' ') of 100000 bytes"
}
seen="by ETag: $(twice by_etag by-etag); by time: $(twice by_time by-time)"
echo "curl $(curl --version | cut -d ' ' -f 2 | head -n 1): $seen"
[ "$seen" = 'by ETag: exit codes 18, 0, 50000 of 100000 bytes; by time: exit codes 18, 0, 50000 of 100000 bytes' ]
