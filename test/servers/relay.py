"""
Relays TCP connections to one address and prints, fifty times a second, the time and how many bytes have passed in each direction.

Its send buffers are as small as the system allows. So a byte counts when the kernel of its receiver has room for it, that is, when it
is on the line, and not when a kernel on the way has taken it.
"""
import socket
import sys
import threading
import time

HOST, PORT = sys.argv[1], int(sys.argv[2])
SEND_BUFFER_BYTES = 4096
READ_BYTES = 4096
REPORT_SECONDS = 0.02

passed = {"up": 0, "down": 0}


def pump(source, target, direction):
    try:
        while data := source.recv(READ_BYTES):
            target.sendall(data)
            passed[direction] += len(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            one.close()


def serve(client):
    portal = socket.create_connection((HOST, PORT))
    for one in (client, portal):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=pump, args=(client, portal, "up"), daemon=True).start()
    threading.Thread(target=pump, args=(portal, client, "down"), daemon=True).start()


def report():
    while True:
        time.sleep(REPORT_SECONDS)
        print(time.monotonic() * 1000, passed["up"], passed["down"], flush=True)


listener = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listener.getsockname()[1], flush=True)
threading.Thread(target=report, daemon=True).start()
while True:
    serve(listener.accept()[0])
