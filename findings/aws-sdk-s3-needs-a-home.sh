#!/bin/sh
# @aws-sdk/client-s3 3.1175.0: a request calls os.homedir() although region, endpoint and credentials are all given in code. A user id
# without an entry in passwd and without HOME (a container with a random uid) then gets a SystemError of Node instead of an answer.
#
# Seen, with os.homedir() counted: the request asks for the home: true
# What helps: set HOME, to a folder that need not exist.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-sdk/client-s3@3.1175.0
cat >try.cjs <<'JS'
const os = require('node:os')
const http = require('node:http')
let asked = 0
const { homedir } = os
os.homedir = () => {
  asked++
  return homedir()
}
const { S3Client, HeadBucketCommand } = require('@aws-sdk/client-s3')
// Without HOME the SDK has to ask the system.
for (const name of ['HOME', 'USERPROFILE', 'HOMEPATH', 'HOMEDRIVE']) delete process.env[name]
const server = http.createServer((_, response) => response.end()).listen(0, '127.0.0.1', async () => {
  const client = new S3Client({
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${server.address().port}`,
    forcePathStyle: true,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
  })
  await client.send(new HeadBucketCommand({ Bucket: 'bucket' }))
  console.log(`the request asks for the home: ${asked > 0}`)
  server.close()
})
JS
seen=$(node try.cjs)
echo "@aws-sdk/client-s3 3.1175.0, node $(node --version): $seen"
[ "$seen" = 'the request asks for the home: true' ]
