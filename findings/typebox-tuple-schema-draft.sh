#!/bin/sh
# typebox 1.4.3: Type.Tuple writes the form of JSON Schema draft-07 (`items` is an array, with `additionalItems`). JSON Schema 2020-12,
# and so OpenAPI 3.1, has `prefixItems` instead and takes `items` as one schema, so a document made from such a schema is invalid there.
# Compile() of the same package does check `prefixItems` where a schema is written by hand.
#
# Seen: Tuple writes items as an array: true; a hand-written prefixItems is checked: true
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund typebox@1.4.3
cat >try.mjs <<'JS'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const tuple = JSON.parse(JSON.stringify(Type.Tuple([Type.Integer(), Type.String()])))
const byHand = Compile({ type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], minItems: 2, maxItems: 2 })
const isChecked = byHand.Check([1, 'a']) && !byHand.Check(['a', 1])
console.log(`Tuple writes items as an array: ${Array.isArray(tuple.items)}; a hand-written prefixItems is checked: ${isChecked}`)
JS
seen=$(node try.mjs)
echo "typebox 1.4.3, node $(node --version): $seen"
[ "$seen" = 'Tuple writes items as an array: true; a hand-written prefixItems is checked: true' ]
