#!/bin/sh
# curl 7.88.1: when --max-time passes during an upload from a pipe (`-T -`), curl takes its time limit for the end of the input: it sends the
# last chunk, which says that the content is complete, and only then fails with exit code 28. The server sees a whole, valid request with
# half of the content, and stores it. The manual calls --max-time the time that a transfer may take, and says nothing of the server.
# A file of which the length is known is sent with Content-Length, so the server sees that it breaks off.
#
# Seen: --max-time: whole, 21 bytes of 42, exit code 28; a file with --max-time: broken off, exit code 28; timeout: broken off, exit code 124
# What helps: `timeout 1h curl -T - …` instead of --max-time.
#
# Needs Debian's packages curl and python3.
set -eu
folder=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
cat >server.py <<'PY'
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_PUT(self):
        if 'content-length' in self.headers:
            wanted = int(self.headers['content-length'])
            content = self.rfile.read(wanted)
            self.tell('whole' if len(content) == wanted else 'broken off')
            return
        got = 0
        while size := int(self.rfile.readline() or '-1', 16):
            chunk = self.rfile.read(size + 2) if size > 0 else b''
            if len(chunk) < size + 2: return self.tell('broken off')
            got += size
        self.rfile.readline()
        self.tell(f'whole, {got} bytes of 42')

    def tell(self, what):
        self.close_connection = True
        print(what, file=open(self.path[1:], 'w'))

    def log_message(self, *_): pass

server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_port, file=open('port', 'w'), flush=True)
server.serve_forever()
PY
python3 server.py &
server=$!
until [ -s port ]; do sleep 0.1; done
url=http://127.0.0.1:$(cat port)
truncate -s 1M big
halves() { seq 10; sleep 4; seq 10; }
# Runs an upload, and tells what the server and the exit code say.
tell() {
  code=0
  "$@" 2>/dev/null >out || code=$?
  until [ -s "$name" ]; do sleep 0.1; done
  echo "$(cat "$name"), exit code $code"
}
name=limit
limit=$(halves | tell curl -sS --max-time 2 -T - "$url/limit")
name=file
file=$(tell curl -sS --max-time 2 --limit-rate 20k -T big "$url/file")
name=killed
killed=$(halves | tell timeout 2 curl -sS -T - "$url/killed")
seen="--max-time: $limit; a file with --max-time: $file; timeout: $killed"
echo "curl $(curl --version | cut -d ' ' -f 2 | head -n 1): $seen"
[ "$seen" = '--max-time: whole, 21 bytes of 42, exit code 28; a file with --max-time: broken off, exit code 28; timeout: broken off, exit code 124' ]
