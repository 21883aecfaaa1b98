#!/bin/sh
# tar 7.5.23 and modern-tar 0.8.6 (tar-stream 3.2.2 alike): a sparse file in a pax archive of GNU tar comes out as another file. Format 1.0,
# which `tar --sparse --format=pax` writes, has the true name and size in the records GNU.sparse.name and GNU.sparse.realsize, and a map of
# the holes before the data. None of the three looks at these records, also not with `strict: true` of tar. They report the stand-in name
# GNUSparseFile.N, and give the map and the data as the content, without the holes. No error is raised and nothing is warned of.
#
# Seen: each of them: GNUSparseFile.N/disk.img, 4608 bytes; GNU tar itself: disk.img, 1048576 bytes
# What helps: refuse entries that have a pax record of which the name begins with `GNU.sparse.`, and entries of type `S`.
#
# Needs GNU tar.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund tar@7.5.23 modern-tar@0.8.6 tar-stream@3.2.2
truncate -s 1M disk.img
printf hello | dd of=disk.img bs=1 seek=700000 conv=notrunc status=none
tar --create --sparse --format=pax --file disk.tar disk.img
mkdir out
tar --extract --file disk.tar --directory out
cat >try.mjs <<'JS'
import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import { unpackTar } from 'modern-tar'
import { t } from 'tar'
import { extract } from 'tar-stream'

const told = (name, sizeBytes) => `${name.replace(/^\.\//, '').replace(/GNUSparseFile\.\d+/, 'GNUSparseFile.N')} ${sizeBytes}`
const seen = {}

await t({ file: 'disk.tar', strict: true, onReadEntry: (entry) => { seen.tar = told(entry.path, entry.size) } })

for (const { header, data } of await unpackTar(Readable.toWeb(createReadStream('disk.tar')))) {
  seen['modern-tar'] = told(header.name, data.length)
}

for await (const entry of createReadStream('disk.tar').pipe(extract())) {
  seen['tar-stream'] = told(entry.header.name, entry.header.size)
  entry.resume()
}

seen['GNU tar'] = told('disk.img', statSync('out/disk.img').size)
console.log(Object.entries(seen).map(([reader, what]) => `${reader}: ${what}`).join('; '))
JS
seen=$(node try.mjs)
echo "tar 7.5.23, modern-tar 0.8.6, tar-stream 3.2.2, $(tar --version | head -n 1), node $(node --version): $seen"
wrong='GNUSparseFile.N/disk.img 4608'
[ "$seen" = "tar: $wrong; modern-tar: $wrong; tar-stream: $wrong; GNU tar: disk.img 1048576" ]
