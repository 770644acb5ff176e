#!/usr/bin/env python3
"""Clients of eight kinds at once, and the upstream that one of them needs.

    soak_clients.py PORT UPSTREAM_PORT [MORE]

They ask until SIGTERM; then each kind says how much it got and what it lost, and the exit code
is 1 if anything was. MORE is how many of each kind there are. scripts/soak.sh says what of.
"""
import asyncio
import base64
import collections
import hashlib
import os
import random
import signal
import sys
import time

PORT, UPSTREAM = int(sys.argv[1]), int(sys.argv[2])
MORE = int(sys.argv[3]) if len(sys.argv) > 3 else 4
# Longer than any answer takes on a busy machine.
LIMIT = 30

done = asyncio.Event()
good = collections.Counter()
bad = collections.Counter()
what = collections.defaultdict(collections.Counter)


class Lost(Exception):
    pass


async def connect():
    return await asyncio.open_connection("127.0.0.1", PORT, limit=1 << 20)


async def answer(reader, alive=True):
    """Status line, fields and body; a connection that is told to close is lost."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
    lines = head.decode().split("\r\n")
    if not lines[0].startswith("HTTP/1.1 200"):
        raise Lost(lines[0])
    fields = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:] if line}
    body = await asyncio.wait_for(reader.readexactly(int(fields.get("content-length", 0))), LIMIT)
    if alive and fields.get("connection") == "close":
        raise Lost("told to close")
    return body


def get(target):
    return f"GET {target} HTTP/1.1\r\nHost: soak\r\n\r\n".encode()


async def pause(least, most):
    try:
        await asyncio.wait_for(done.wait(), random.uniform(least, most))
    except asyncio.TimeoutError:
        pass


async def idle():
    """Keep-alive, silent most of the time."""
    reader, writer = await connect()
    while not done.is_set():
        writer.write(get("/text"))
        assert await answer(reader) == b"text"
        good["idle"] += 1
        await pause(0.05, 2)
    writer.close()


async def busy():
    """Keep-alive, one request after the other."""
    reader, writer = await connect()
    while not done.is_set():
        writer.write(get("/text"))
        assert await answer(reader) == b"text"
        good["busy"] += 1
        await asyncio.sleep(0.002)
    writer.close()


async def new():
    """A connection for each request."""
    while not done.is_set():
        reader, writer = await connect()
        writer.write(b"GET /text HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
        assert await answer(reader, alive=False) == b"text"
        writer.close()
        good["new"] += 1
        await asyncio.sleep(0.01)


async def post():
    """Bodies that come slowly; their upstream says how much there was."""
    reader, writer = await connect()
    while not done.is_set():
        writer.write(b"POST /up HTTP/1.1\r\nHost: soak\r\nContent-Length: 4000\r\n\r\n")
        for _ in range(4):
            writer.write(b"x" * 1000)
            await asyncio.sleep(0.05)
        assert await answer(reader) == b"4000"
        good["post"] += 1
        await pause(0.0, 0.1)
    writer.close()


async def pipelining():
    reader, writer = await connect()
    while not done.is_set():
        writer.write(get("/text") * 8)
        for _ in range(8):
            assert await answer(reader) == b"text"
        good["pipelining"] += 8
        await pause(0.0, 0.2)
    writer.close()


async def download():
    """A large file, read in no hurry."""
    reader, writer = await connect()
    while not done.is_set():
        writer.write(get("/large"))
        body = await answer(reader)
        assert len(body) == 4 << 20, len(body)
        good["download"] += 1
        await pause(0.0, 0.3)
    writer.close()


async def websocket():
    """A tunnel through the proxy, which lives as long as the test."""
    reader, writer = await connect()
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /ws HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
    assert head.startswith(b"HTTP/1.1 101"), head
    count = 0
    while not done.is_set():
        count += 1
        frame = f"{count:08}".encode() * 16
        writer.write(frame)
        assert await asyncio.wait_for(reader.readexactly(len(frame)), LIMIT) == frame
        good["websocket"] += 1
        await pause(0.0, 0.5)
    writer.close()


async def half_open():
    """Half a head, and the other half much later; some leave in between."""
    while not done.is_set():
        reader, writer = await connect()
        request = get("/text")
        cut = random.randrange(1, len(request))
        writer.write(request[:cut])
        await pause(0.0, 2)
        if random.random() < 0.2:
            writer.transport.abort()
            continue
        writer.write(request[cut:])
        assert await answer(reader) == b"text"
        writer.close()
        good["half-open"] += 1


async def forever(kind):
    """The same client again after each loss, so that one does not hide the next."""
    while not done.is_set():
        try:
            await kind()
        except (Lost, OSError, AssertionError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            bad[kind.__name__] += 1
            what[kind.__name__][f"{type(error).__name__}: {error}"] += 1
            await asyncio.sleep(0.05)


async def upstream(reader, writer):
    """Says how long a body was; echoes what comes after an upgrade."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if "upgrade: websocket" in head:
                key = head.split("sec-websocket-key:")[1].split("\r\n")[0].strip().encode()
                accept = base64.b64encode(hashlib.sha1(key).digest())
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                while piece := await reader.read(65536):
                    writer.write(piece)
                return
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            count = str(len(await reader.readexactly(length))).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(count) + count)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


KINDS = [idle, busy, new, post, pipelining, download, websocket, half_open]


async def main():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    server = await asyncio.start_server(upstream, "127.0.0.1", UPSTREAM)
    left_out = os.environ.get("SOAK_WITHOUT", "").split()
    kinds = [kind for kind in KINDS if kind.__name__ not in left_out]
    since = time.monotonic()
    await asyncio.gather(*(forever(kind) for kind in kinds for _ in range(MORE)))
    server.close()
    print(f"{time.monotonic() - since:.0f} s, {MORE} clients of each kind")
    for kind in kinds:
        name = kind.__name__.replace("_", "-")
        print(f"{name:>12}: {good[name]:7} answers, {bad[kind.__name__]:4} lost")
        for text, count in what[kind.__name__].most_common(4):
            print(f"              {count} x {text}")
    sys.stdout.flush()
    # What the upstream still has open is of no interest.
    os._exit(1 if sum(bad.values()) else 0)


asyncio.run(main())
