#!/bin/sh
# Node.js 24.21.0: fs.utimes with a negative number sets the present time, without an error. The same number as a text sets the time
# before 1970 that it says. The documentation names both forms and no difference between them.
#
# Seen: "number: now, text: -1.5"
# What helps: pass times as texts.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
cat >try.mjs <<'JS'
import { statSync, utimesSync, writeFileSync } from 'node:fs'

writeFileSync('file', '')

function afterSetting(time) {
  utimesSync('file', time, time)
  const seconds = statSync('file').mtimeMs / 1000
  return seconds > 0 ? 'now' : String(seconds)
}

console.log(`number: ${afterSetting(-1.5)}, text: ${afterSetting('-1.5')}`)
JS
seen=$(node_modules/node/bin/node try.mjs)
echo "$(node_modules/node/bin/node --version) $seen"
[ "$seen" = 'number: now, text: -1.5' ]
