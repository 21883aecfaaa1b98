#!/bin/sh
# Node.js 24.21.0: zstdDecompressSync() of a file that pzstd wrote returns an empty buffer, without an error. pzstd, which comes with zstd,
# begins each of its frames with a skippable frame that says how long it is. RFC 8878 lets a decoder pass over those, and makes one content
# of several frames. Node ends after the first frame of what it is given at once, and the first one here has no content. Of two files of zstd
# that were joined by `cat` it returns the first (nodejs/node issue 64741). With createZstdDecompress() the result depends on where the pieces
# happen to end: one write gives nothing, byte by byte gives all. Node's gunzip reads all members in each of these ways.
# So tar 7.5.23, which uses it, lists an archive of `tar --use-compress-program=pzstd` as an empty one.
#
# Seen: zstd -d: 100000 bytes; zstdDecompressSync: 0; stream, one write: 0, byte by byte: 100000; joined by cat: 4 of 8; tar: 0 of 1 entries
# What helps: Node 26.10.0, which reads all frames; `zstd -d` as a child process; `zstd -T0` instead of pzstd, which writes one frame.
#
# Needs Debian's package zstd, and GNU tar.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 tar@7.5.23
head -c 100000 /dev/urandom >content
pzstd -q content -o content.zst
printf 'one ' | zstd -q >joined.zst
printf 'two ' | zstd -q >>joined.zst
tar --create --use-compress-program=pzstd --file archive.tar.zst content 2>/dev/null
cat >try.mjs <<'JS'
import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import zlib from 'node:zlib'
import { t } from 'tar'

const file = readFileSync('content.zst')

function streamed(pieces) {
  const stream = zlib.createZstdDecompress()
  for (const piece of pieces) stream.write(piece)
  stream.end()
  return buffer(stream)
}

const whole = zlib.zstdDecompressSync(file).length
const oneWrite = (await streamed([file])).length
const byteByByte = (await streamed(Array.from(file, (byte) => Buffer.of(byte)))).length
const joined = zlib.zstdDecompressSync(readFileSync('joined.zst')).length
let entries = 0
await t({ file: 'archive.tar.zst', onReadEntry: () => { entries++ } })
console.log(`zstdDecompressSync: ${whole}; stream, one write: ${oneWrite}, byte by byte: ${byteByByte}; joined by cat: ${joined} of 8; tar: ${entries} of 1 entries`)
JS
seen="zstd -d: $(zstd -q -d -c content.zst | wc -c | tr -d ' '); $(node_modules/node/bin/node try.mjs)"
echo "$(node_modules/node/bin/node --version), $(zstd --version | grep -o 'v[0-9.]*'), tar 7.5.23: $seen"
[ "$seen" = 'zstd -d: 100000; zstdDecompressSync: 0; stream, one write: 0, byte by byte: 100000; joined by cat: 4 of 8; tar: 0 of 1 entries' ]
