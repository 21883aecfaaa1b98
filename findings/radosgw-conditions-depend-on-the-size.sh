#!/bin/sh
# Ceph's radosgw 16.2.15 with @aws-sdk/lib-storage 3.1175.0: Upload with `IfNoneMatch: '*'` keeps an existing object when the new one is small,
# and replaces it without an error when it is larger than 5 MiB. Upload sends a small one by PutObject, where the gateway has long had this
# condition, and a large one in parts, where it does not look at the condition of CompleteMultipartUpload. It ignores it for CopyObject, too, and
# the IfMatch of DeleteObject. So a probe with a small object says that the server has conditional writes, and a lock or a "never
# overwrite" fails with the first large file. The documentation of S3 promises 412 for all four.
#
# Seen: put: 412, kept; upload of 1 MiB: 412, kept; upload of 6 MiB: 200, replaced; copy: 200, replaced; delete with another ETag: 204, gone
# What helps: PutObject for all sizes (up to 5 GiB), or names that are never used twice.
#
# Needs Debian's packages ceph-mon, ceph-osd, radosgw and ceph-common, and Node.js.
set -eu
folder=$(mktemp -d)
pids=
trap 'kill -9 $pids 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
free_port() {
  node -e "const server = require('net').createServer().listen(0, '127.0.0.1', () => server.close(console.log(server.address().port)))"
}
monitor=$(free_port)
port=$(free_port)
mkdir mon osd run
: >keyring
cluster=$(node -p 'crypto.randomUUID()')
# A cluster of one monitor and one disk in memory, without keys.
cat >ceph.conf <<CONF
[global]
fsid = $cluster
mon_host = v2:127.0.0.1:$monitor
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
run_dir = $folder/run
admin_socket = $folder/run/\$name.asok
pid_file = $folder/run/\$name.pid
log_file = $folder/run/\$name.log
mon_cluster_log_file = $folder/run/cluster.log
crash_dir = $folder/run
keyring = $folder/keyring
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
ms_mon_client_mode = crc
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 10000
mon_data_avail_crit = 1
[mon.a]
mon_data = $folder/mon
mon_initial_members = a
[osd.0]
osd_data = $folder/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
CONF
{
  monmaptool --create --addv a "[v2:127.0.0.1:$monitor]" --fsid "$cluster" monmap
  ceph-mon -c ceph.conf -i a --mkfs --monmap monmap --keyring keyring
  ceph-mon -c ceph.conf -i a -f &
  pids="$pids $!"
  disk=$(node -p 'crypto.randomUUID()')
  timeout 60 ceph -c ceph.conf osd new "$disk"
  ceph-osd -c ceph.conf -i 0 --mkfs --osd-uuid "$disk"
  ceph-osd -c ceph.conf -i 0 -f &
  pids="$pids $!"
  timeout 60 radosgw-admin -c ceph.conf -n client.rgw user create --uid one --display-name one --access-key access --secret secret
  radosgw -c ceph.conf -n client.rgw --rgw_frontends "beast endpoint=127.0.0.1:$port" -f &
  pids="$pids $!"
} >log 2>&1 || { cat log; exit 1; }
npm init -y >/dev/null
npm install --silent --no-audit --no-fund @aws-sdk/client-s3@3.1175.0 @aws-sdk/lib-storage@3.1175.0
cat >try.mjs <<'JS'
import { setTimeout } from 'node:timers/promises'
import { CopyObjectCommand, CreateBucketCommand, DeleteObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'

const client = new S3Client({
  endpoint: `http://127.0.0.1:${process.argv[2]}`,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: 'access', secretAccessKey: 'secret' },
})
const Bucket = 'bucket'
for (;;) {
  const made = await client.send(new CreateBucketCommand({ Bucket })).then(() => true, (error) => error.code !== 'ECONNREFUSED' && Promise.reject(error))
  if (made) break
  await setTimeout(100)
}
await client.send(new PutObjectCommand({ Bucket, Key: 'source', Body: 'source' }))

async function tell(title, write) {
  const Key = title.replaceAll(' ', '-')
  const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key, Body: 'first' }))
  const status = await write(Key).then((answer) => answer.$metadata.httpStatusCode, (error) => error.$metadata.httpStatusCode)
  const now = await client.send(new HeadObjectCommand({ Bucket, Key })).then((head) => head.ETag, () => null)
  return `${title}: ${status}, ${now === null ? 'gone' : now === ETag ? 'kept' : 'replaced'}`
}

const once = { Bucket, IfNoneMatch: '*' }
const upload = (size) => (Key) => new Upload({ client, params: { ...once, Key, Body: Buffer.alloc(size) } }).done()
console.log([
  await tell('put', (Key) => client.send(new PutObjectCommand({ ...once, Key, Body: 'second' }))),
  await tell('upload of 1 MiB', upload(1 << 20)),
  await tell('upload of 6 MiB', upload(6 << 20)),
  await tell('copy', (Key) => client.send(new CopyObjectCommand({ ...once, Key, CopySource: `${Bucket}/source` }))),
  await tell('delete with another ETag', (Key) => client.send(new DeleteObjectCommand({ Bucket, Key, IfMatch: '"0123"' }))),
].join('; '))
JS
seen=$(timeout 60 node try.mjs "$port" 2>>log) || { cat log; exit 1; }
echo "$(radosgw --version | cut -d ' ' -f 1-3), lib-storage 3.1175.0, node $(node --version): $seen"
[ "$seen" = 'put: 412, kept; upload of 1 MiB: 412, kept; upload of 6 MiB: 200, replaced; copy: 200, replaced; delete with another ETag: 204, gone' ]
