#!/bin/sh
# Node.js 24.21.0: a Blob of fs.openAsBlob() does not notice that its file was replaced when both files have the same size and a time in
# whole seconds: it compares the size, and of the time only the nanoseconds within the second. Any two whole seconds look the same to it, and it
# returns the new content. Such times are what tar, zip and SFTP leave. The documentation says that any modification makes reading fail with
# a DOMException. An upload in slices, as clients with parts make it, then consists of both files.
#
# Seen: unpacked again: the content of two; written again: NotReadableError; in two slices: one, then two
# What helps: compare mtimeMs and ctimeMs of fs.stat() before and after reading.
#
# Needs GNU tar.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
for version in one two; do
  node -e "process.stdout.write('$version'.repeat(100000))" >content
  touch --date "$([ $version = one ] && echo 2025-11-01 || echo 2025-11-02)" content
  tar --create --file $version.tar content
done
cat >try.mjs <<'JS'
import { execFileSync } from 'node:child_process'
import { openAsBlob, writeFileSync } from 'node:fs'

const unpack = (version) => execFileSync('tar', ['--extract', '--file', `${version}.tar`])

async function after(change) {
  unpack('one')
  const blob = await openAsBlob('content')
  change()
  return blob.text().then((text) => `the content of ${text.slice(0, 3)}`, (error) => error.name)
}

async function inTwoSlices() {
  unpack('one')
  const blob = await openAsBlob('content')
  const first = await blob.slice(0, 3).text()
  unpack('two')
  return `${first}, then ${await blob.slice(-3).text()}`
}

const unpacked = await after(() => unpack('two'))
const written = await after(() => writeFileSync('content', 'two'.repeat(100000)))
console.log(`unpacked again: ${unpacked}; written again: ${written}; in two slices: ${await inTwoSlices()}`)
JS
seen=$(node_modules/node/bin/node try.mjs)
echo "$(node_modules/node/bin/node --version) $seen"
[ "$seen" = 'unpacked again: the content of two; written again: NotReadableError; in two slices: one, then two' ]
