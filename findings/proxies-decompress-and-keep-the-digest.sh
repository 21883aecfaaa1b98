#!/bin/sh
# Varnish 7.1.1 and Caddy 2.6.2, as plain reverse proxies without any settings, decompress what they pass on, and leave the digests of the
# compressed bytes beside it. For a client that asks for no encoding (curl, wget, Python's urllib) they ask the origin for gzip. The client gets
# the right content, plain, with a Repr-Digest and a Content-Digest (RFC 9530) that are wrong for it, and must take it for damaged.
# `Cache-Control: no-transform` does not stop them, though RFC 9110 (7.7) forbids to change such content. The origin alone would have sent the plain
# bytes with their own digests. Varnish makes the ETag weak. Caddy keeps the strong ETag of the compressed bytes, which then names two contents.
# nginx 1.22.1 and HAProxy 2.6.12 change nothing unless told to. With `gzip on` nginx compresses no-transform, too, and keeps the digests;
# HAProxy, with `compression`, obeys no-transform.
#
# Seen: no encoding asked for: varnish, caddy: wrong, nginx, haproxy: right; gzip asked for: nginx: wrong, all others: right
# What helps: `-p http_gzip_support=off` of varnishd; `transport http { compression off }` in reverse_proxy of Caddy.
#
# Needs Debian's packages varnish, caddy, nginx and haproxy, and Node.js.
set -eu
folder=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 "$folder"
free_ports() {
  node -e "
    const servers = Array.from({ length: $1 }, () => require('net').createServer().listen(0, '127.0.0.1'))
    setTimeout(() => { console.log(servers.map((one) => one.address().port).join(' ')); process.exit() }, 100)"
}
set -- $(free_ports 7)
origin=$1 varnish=$2 caddy=$3 nginx=$4 haproxy=$5 varnish_off=$6 caddy_off=$7
varnishd -j none -F -n "$folder/varnish" -a 127.0.0.1:$varnish -b 127.0.0.1:$origin >log 2>&1 &
pids="$pids $!"
varnishd -j none -F -n "$folder/varnish-off" -p http_gzip_support=off -a 127.0.0.1:$varnish_off -b 127.0.0.1:$origin >>log 2>&1 &
pids="$pids $!"
cat >Caddyfile <<CONF
{
  admin off
  auto_https off
}
http://127.0.0.1:$caddy {
  reverse_proxy 127.0.0.1:$origin
}
http://127.0.0.1:$caddy_off {
  reverse_proxy 127.0.0.1:$origin {
    transport http {
      compression off
    }
  }
}
CONF
HOME=$folder XDG_CONFIG_HOME=$folder XDG_DATA_HOME=$folder caddy run --config Caddyfile --adapter caddyfile >>log 2>&1 &
pids="$pids $!"
cat >nginx.conf <<CONF
daemon off;
pid $folder/nginx.pid;
error_log $folder/log;
events {}
http {
  access_log off;
  client_body_temp_path $folder/temp1; proxy_temp_path $folder/temp2; fastcgi_temp_path $folder/temp3; uwsgi_temp_path $folder/temp4; scgi_temp_path $folder/temp5;
  gzip on; gzip_types text/plain; gzip_proxied any;
  server {
    listen 127.0.0.1:$nginx;
    location / { proxy_pass http://127.0.0.1:$origin; proxy_http_version 1.1; }
  }
}
CONF
nginx -c "$folder/nginx.conf" >>log 2>&1 &
pids="$pids $!"
cat >haproxy.cfg <<CONF
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend in
  bind 127.0.0.1:$haproxy
  compression algo gzip
  compression type text/plain
  default_backend out
backend out
  server origin 127.0.0.1:$origin
CONF
haproxy -f haproxy.cfg >>log 2>&1 &
pids="$pids $!"
cat >try.cjs <<'JS'
const { createHash } = require('node:crypto')
const http = require('node:http')
const zlib = require('node:zlib')
const [origin, ...proxies] = process.argv.slice(2)
const digest = (bytes) => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`
const text = Buffer.from('a line of text\n'.repeat(1000))
// It has gzip only for /both, so that there is something left to compress for others.
const server = http.createServer((request, response) => {
  const isGzip = request.url === '/both' && /gzip/.test(request.headers['accept-encoding'] ?? '')
  const body = isGzip ? zlib.gzipSync(text) : text
  response.writeHead(200, {
    'content-type': 'text/plain',
    'content-length': body.length,
    'cache-control': 'no-transform',
    etag: isGzip ? '"gzip"' : '"plain"',
    vary: 'accept-encoding',
    'repr-digest': digest(body),
    'content-digest': digest(body),
    ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
  })
  response.end(body)
})
function get(port, path, headers) {
  return new Promise((resolve) => {
    const request = http.get({ host: '127.0.0.1', port, path, headers, agent: false }, async (response) => {
      const pieces = []
      for await (const piece of response) pieces.push(piece)
      resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) })
    })
    // Until the proxy listens.
    request.on('error', () => setTimeout(() => resolve({ status: 0 }), 100))
  })
}
async function tell(port, path, headers) {
  let answer
  do answer = await get(port, path, headers)
  while (answer.status !== 200)
  const right = digest(answer.body)
  const fields = [answer.headers['repr-digest'], answer.headers['content-digest']]
  if (fields.every((one) => one === right)) return 'right'
  return fields.includes(right) || fields.includes(undefined) ? 'partly' : `wrong, ETag ${answer.headers.etag}`
}
server.listen(Number(origin), '127.0.0.1', async () => {
  for (const [title, path, headers] of [['none asked for', '/both', {}], ['gzip asked for', '/plain', { 'accept-encoding': 'gzip' }]]) {
    const told = []
    for (const proxy of proxies) {
      const [name, port] = proxy.split(':')
      told.push(`${name}: ${await tell(Number(port), path, headers)}`)
    }
    console.log(`${title}: ${told.join('; ')}`)
  }
  process.exit()
})
JS
seen=$(timeout 60 node try.cjs $origin varnish:$varnish caddy:$caddy nginx:$nginx haproxy:$haproxy varnish-off:$varnish_off caddy-off:$caddy_off) || { cat log; exit 1; }
echo "$(varnishd -V 2>&1 | grep -o 'varnish-[0-9.]*'), caddy $(caddy version), $(nginx -v 2>&1), $(haproxy -v | head -n 1 | cut -d ' ' -f 1-3): $seen"
[ "$seen" = 'none asked for: varnish: wrong, ETag W/"gzip"; caddy: wrong, ETag "gzip"; nginx: right; haproxy: right; varnish-off: right; caddy-off: right
gzip asked for: varnish: right; caddy: right; nginx: wrong, ETag W/"plain"; haproxy: right; varnish-off: right; caddy-off: right' ]
