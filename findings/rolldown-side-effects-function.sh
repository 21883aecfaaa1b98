#!/bin/sh
# rolldown 1.2.19: a function given as treeshake.moduleSideEffects replaces a package's own `"sideEffects": false`, also where it returns
# true only because it has no opinion. Unused modules of that package then stay in the bundle. Returning undefined leaves the word to
# the package.
#
# Seen: returning true keeps the unused module: true; returning undefined keeps it: false
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund rolldown@1.2.19
mkdir -p node_modules/pure
echo '{ "name": "pure", "version": "1.0.0", "type": "module", "main": "index.js", "sideEffects": false }' >node_modules/pure/package.json
echo "export { used } from './used.js'; export { unused } from './unused.js'" >node_modules/pure/index.js
echo "export const used = 'used'" >node_modules/pure/used.js
echo "console.log('an effect of the unused module'); export const unused = 'unused'" >node_modules/pure/unused.js
echo "import { used } from 'pure'; console.log(used)" >entry.js
cat >try.mjs <<'JS'
import { rolldown } from 'rolldown'

async function keeps(answer) {
  const bundle = await rolldown({ input: 'entry.js', treeshake: { moduleSideEffects: (id) => (id.endsWith('entry.js') ? true : answer) } })
  const { output } = await bundle.generate({ format: 'esm' })
  return output[0].code.includes('an effect of the unused module')
}

console.log(`returning true keeps the unused module: ${await keeps(true)}; returning undefined keeps it: ${await keeps(undefined)}`)
JS
seen=$(node try.mjs)
echo "rolldown 1.2.19, node $(node --version): $seen"
[ "$seen" = 'returning true keeps the unused module: true; returning undefined keeps it: false' ]
