"""The load of benches/churn.sh: short-lived listeners on ever new addresses, overflows, and clients that are slow to the metrics."""

import random
import select
import socket
import sys
import threading
import time

METRICS = ("127.0.0.1", 9464)
END = time.monotonic() + float(sys.argv[1])


def running():
    return time.monotonic() < END


def start_connect(address):
    client = socket.socket()
    client.setblocking(False)
    try:
        client.connect(address)
    except (BlockingIOError, ConnectionError):
        pass
    return client


def churn():
    """A listener on a new address and port for each round: some serve, some close early, some overflow."""
    kept = []
    while running():
        host = f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        server = socket.socket()
        try:
            server.bind((host, random.randrange(1024, 32768)))
        except OSError:
            server.close()
            continue
        server.listen(4)
        address = server.getsockname()
        kind = random.random()
        clients = [start_connect(address) for _ in range(3 if kind < 0.9 else 9)]
        if kind < 0.9:
            for _ in clients:
                if select.select([server], [], [], 1)[0]:
                    served, _ = server.accept()
                    served.sendall(b"hello")
                    served.close()
            for client in clients:
                client.close()
            server.close()
        else:
            kept.append((time.monotonic(), server, clients))
        while kept and time.monotonic() - kept[0][0] > 3:
            _, server, clients = kept.pop(0)
            for one in [server, *clients]:
                one.close()
        # A port that nobody listens at.
        start_connect((host, 1)).close()
        time.sleep(0.02)


def slow():
    """Clients that send a byte now and then, and clients that read none of the answer."""
    held = []
    while running():
        try:
            client = socket.create_connection(METRICS, timeout=5)
            request = b"GET /metrics HTTP/1.1\r\n" + (b"\r\n" if random.random() < 0.5 else b"X: " + b"x" * random.randrange(20000))
            client.sendall(request)
            held.append(client)
        except OSError:
            pass
        while len(held) > 60:
            held.pop(0).close()
        time.sleep(0.1)


time.sleep(1)
threads = [threading.Thread(target=work) for work in (churn, churn, slow)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
