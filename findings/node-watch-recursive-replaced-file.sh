#!/bin/sh
# Node.js 24.21.0 on Linux: fs.watch(folder, { recursive: true }) reports a file that is replaced by rename() the first time, and never again:
# neither when it is replaced once more, nor when it is written to. Node watches each file by its inode there, and keeps watching the
# old one. Editors, package managers and careful programs all replace files by rename. Without `recursive` the folder is watched, and
# every replacement is reported.
#
# Seen: recursive: replaced: reported, replaced again: silence, appended to: silence; not recursive: reported, reported, reported
# What helps: watch each folder without `recursive`, or look from time to time.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
cat >try.mjs <<'JS'
import { appendFileSync, mkdirSync, renameSync, watch, writeFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'

const REPORT_MS = 500

async function reports(name, recursive) {
  mkdirSync(name)
  const file = `${name}/settings.json`
  writeFileSync(file, 'one')
  let said = []
  const watcher = watch(name, { recursive }, (_, path) => said.push(path))
  await setTimeout(REPORT_MS)
  const after = async (change) => {
    said = []
    change()
    await setTimeout(REPORT_MS)
    return said.includes('settings.json') ? 'reported' : 'silence'
  }
  const replace = () => {
    writeFileSync('temporary', 'another')
    renameSync('temporary', file)
  }
  const seen = [await after(replace), await after(replace), await after(() => appendFileSync(file, 'more'))]
  watcher.close()
  return seen
}

const [first, second, third] = await reports('deep', true)
console.log(`recursive: replaced: ${first}, replaced again: ${second}, appended to: ${third}; not recursive: ${(await reports('flat', false)).join(', ')}`)
JS
seen=$(node_modules/node/bin/node try.mjs)
echo "$(node_modules/node/bin/node --version): $seen"
[ "$seen" = 'recursive: replaced: reported, replaced again: silence, appended to: silence; not recursive: reported, reported, reported' ]
