#!/bin/sh
# Node.js 24.21.0: process.stdout that is a file drops what a short write leaves over. The stream calls write(2) once and does not look
# at how many bytes were taken; neither an error event nor the callback of write() tells. The next write reports the error, if there
# is one. A file size limit (ulimit -f) shows it here; a disk that becomes full does the same.
#
# Seen: 1536 bytes were written in one call, 1024 are in the file, the callback got no error, the exit code is 0.
# What helps: fs.writeSync(1, …) in a loop that counts what was taken.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0
cat >try.mjs <<'JS'
process.on('SIGXFSZ', () => {})
process.stdout.on('error', (error) => console.error(`error event: ${error.code}`))
process.stdout.write('x'.repeat(1536), (error) => console.error(`callback: ${error?.code ?? 'no error'}`))
JS
# In blocks of 512 bytes (POSIX), bash counts in 1024: both leave less than 1536 bytes.
status=0
(ulimit -f "$(test "$(sh -c 'ulimit -f 1; dd if=/dev/zero of=probe bs=600 count=1 2>/dev/null; wc -c <probe')" -eq 600 && echo 1 || echo 2)"
exec node_modules/node/bin/node try.mjs >out 2>told) || status=$?
seen="in the file: $(wc -c <out | tr -d ' '), $(cat told), exit code $status"
echo "$(node_modules/node/bin/node --version) $seen"
[ "$seen" = 'in the file: 1024, callback: no error, exit code 0' ]
