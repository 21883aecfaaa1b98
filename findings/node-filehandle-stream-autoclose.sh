#!/bin/sh
# Node.js 24.21.0: FileHandle.createReadStream({ autoClose: false }), destroyed without an error while a read is under way, closes
# the file handle. The documentation says that the handle stays open. Destroyed between two reads, or with an error, it does stay open.
#
# Seen: "mid-read: closed, between reads: open"
# What helps: read by position (FileHandle.read) where the handle must be usable again.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
cat >try.mjs <<'JS'
import { once } from 'node:events'
import { open, writeFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'

await writeFile('content', Buffer.alloc(8 * 1024 * 1024))

async function* bytesOf(handle) {
  yield* handle.createReadStream({ start: 0, autoClose: false })
}

/** @returns whether the handle is still open after its stream was left in that way */
async function isOpenAfter(leave) {
  const handle = await open('content')
  const stream = Readable.from(bytesOf(handle))
  await leave(stream)
  await setTimeout(50)
  const isOpen = handle.fd !== -1
  if (isOpen) await handle.close()
  return isOpen ? 'open' : 'closed'
}

const midRead = await isOpenAfter(async (stream) => {
  stream.once('data', () => setImmediate(() => stream.destroy()))
  await once(stream, 'close')
})
const between = await isOpenAfter(async (stream) => {
  for await (const _ of stream) break
})
console.log(`mid-read: ${midRead}, between reads: ${between}`)
JS
seen=$(node_modules/node/bin/node try.mjs)
echo "$(node_modules/node/bin/node --version) $seen"
[ "$seen" = 'mid-read: closed, between reads: open' ]
