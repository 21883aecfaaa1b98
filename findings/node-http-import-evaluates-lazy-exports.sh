#!/bin/sh
# Node.js 24.21.0: `import http from 'node:http'` loads Node's built-in undici with its WebSocket and fetch, because the names that an
# ES module can import from a builtin are read one by one, and that evaluates getters meant to be lazy.
# process.getBuiltinModule('node:http') reads none of them. A small command line that only needs requests starts faster for it.
#
# Seen: by import: undici loaded, by getBuiltinModule: undici not loaded
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
told='const has = process.moduleLoadList.some((name) => name.includes("internal/deps/undici")); console.log(has ? "undici loaded" : "undici not loaded")'
echo "import 'node:http'; $told" >by-import.mjs
echo "process.getBuiltinModule('node:http'); $told" >by-name.mjs
seen="by import: $(node_modules/node/bin/node by-import.mjs), by getBuiltinModule: $(node_modules/node/bin/node by-name.mjs)"
echo "$(node_modules/node/bin/node --version) $seen"
[ "$seen" = 'by import: undici loaded, by getBuiltinModule: undici not loaded' ]
