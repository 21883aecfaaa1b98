"""A receiver of webhooks, written after the specification of Standard Webhooks, with nothing of the portal's.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

Usage: webhook-receiver.py SECRET. It listens on a free port of 127.0.0.1, and prints that port and then one line of JSON for each request. Commands
come on standard input, one a line, and are confirmed by `answering`: `answer STATUS`, `answer STATUS RETRY-AFTER`, `answer slow`, `answer endless`, `answer redirect URL`, `answer cut`,
`answer poison TEXT` (500 for bodies with that text, 204 for others).
"""

import base64
import hashlib
import hmac
import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_SECONDS = 5 * 60
key = base64.b64decode(sys.argv[1].removeprefix("whsec_"), validate=True)
answer = ["answer", "204"]
lock = threading.Lock()


def fault_of(headers, body):
    """Why a request is not to be trusted; None if it is."""
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    signatures = headers["webhook-signature"]
    if message_id is None or timestamp is None or signatures is None:
        return "a header is missing"
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return "the timestamp is too far away"
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    for one in signatures.split(" "):
        version, _, signature = one.partition(",")
        if version == "v1" and hmac.compare_digest(signature, expected):
            return None
    return "no signature is valid"


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        fault = fault_of(self.headers, body)
        how = list(answer[1:])
        status = self.status_for(how, body)
        told = {
            "id": self.headers["webhook-id"],
            "path": self.path,
            "host": self.headers["host"],
            "contentType": self.headers["content-type"],
            "fault": fault,
            "body": json.loads(body),
            "answer": how[0],
            "status": status,
        }
        # Before the answer: a test that sees the outcome sees the request, too.
        with lock:
            print(json.dumps(told), flush=True)
        if how[0] == "slow":
            time.sleep(60)
        if how[0] == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if how[0] == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return
        self.send_response(status)
        if how[0] == "redirect":
            self.send_header("location", how[1])
        elif how[0].isdigit() and len(how) > 1:
            self.send_header("retry-after", how[1])
        content = b"" if status == 204 else b"ok"
        if status != 204:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        with lock:
            print(json.dumps({"id": "a GET", "fault": "followed a redirect"}), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def status_for(self, how, body):
        if how[0] == "redirect":
            return 307
        if how[0] == "poison":
            return 500 if how[1].encode() in body else 204
        return int(how[0]) if how[0].isdigit() else 200

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Receiver)
server.daemon_threads = True
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    answer = line.split()
    with lock:
        print("answering", flush=True)
