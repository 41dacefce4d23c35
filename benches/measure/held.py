"""What stays in the gateway's memory: of bodies that come in small pieces, and of what has long
ended."""

import asyncio
import http.client
import json
import pathlib
import socket
import threading
import time
import uuid

# One caller that sends a byte a chunk may cost no more than this, however long it goes on.
DRIP_BOUND_KIB = 2 * 1024
DRIP_SECONDS = 10

# What a phone's form looks like on the wire: one segment a read.
SEGMENT = 1400
SEGMENTED_FORMS = 40
SEGMENTED_SIZE = 274_400
SEGMENT_PAUSE = 0.02
# Medians were 213 and 235; single runs go from 190 to 310, as they count the program's pages and
# the disk's threads, too.
SEGMENTED_RUNS = 5
SEGMENTED_BOUND_KIB = 320

KEYS = 50_000
KEYS_BOUND = 1024
# As long as those of Azure's storage.
SIGNATURE = "s" * 600
URLS = 100_000
URLS_BOUND = 2048
IDLE = 800
IDLE_SENT = 1024 * 1024
# Until buffers are given back, and what the allocator keeps for a while, too.
IDLE_SECONDS = 4
IDLE_BOUND_KIB = 64
CONNECTIONS = 16


def resident(gateway, which="VmRSS"):
    """VmRSS or VmHWM, in KiB."""
    status = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(which))


def reset_peak(gateway):
    pathlib.Path(f"/proc/{gateway.process.pid}/clear_refs").write_text("5")


def connect(gateway):
    host, port = gateway.data.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def drip(gateway, seconds=DRIP_SECONDS):
    """KiB that one connection takes which sends one byte a chunk, each in a segment of its own."""
    warm_up(gateway)
    before = resident(gateway)
    sock = connect(gateway)
    sock.sendall(
        b"POST /v1/assets?channel=sms&name=a.txt HTTP/1.1\r\nHost: x\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        sock.sendall(b"1\r\na\r\n")
        time.sleep(5e-5)
        sent += 1
    grown = resident(gateway) - before
    sock.close()
    print(
        f"one connection, {sent} bytes in chunks of one: {grown} KiB, {DRIP_BOUND_KIB} KiB are "
        "allowed",
        flush=True,
    )
    return grown <= DRIP_BOUND_KIB


async def _segmented(gateway, body):
    host, port = gateway.data.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for start in range(0, len(body), SEGMENT):
        writer.write(body[start : start + SEGMENT])
        await writer.drain()
        await asyncio.sleep(SEGMENT_PAUSE)
    answer = await reader.read()
    writer.close()
    if b'"spooled"' not in answer:
        raise RuntimeError(answer.decode())


def warm_up(gateway):
    """One upload, which is no form lest anything be learned of it: the code that it loads, and the
    disk's first thread, aren't what an upload takes."""
    head = (
        b"POST /v1/assets?channel=sms&name=a.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    file = bytes(range(128, 256)) * (SEGMENTED_SIZE // 128)
    asyncio.run(_segmented(gateway, head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(file), file)))


def segments(gateway):
    """KiB for each of some forms that come in segments, at their peak. None of them is known, so
    all are spooled."""
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    form = head + bytes(range(128, 256)) * (SEGMENTED_SIZE // 128) + b"\r\n--b--\r\n"

    def request(number):
        lines = (
            f"User-Agent: phone-{number}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            f"Content-Length: {len(form)}\r\nConnection: close\r\n"
        )
        return f"POST /v1/assets?channel=sms HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode() + form

    async def all_of_them():
        await asyncio.gather(
            *(_segmented(gateway, request(number)) for number in range(SEGMENTED_FORMS))
        )

    warm_up(gateway)
    before = resident(gateway)
    reset_peak(gateway)
    asyncio.run(all_of_them())
    each = (resident(gateway, "VmHWM") - before) / SEGMENTED_FORMS
    size = SEGMENTED_SIZE // 1000
    print(
        f"{SEGMENTED_FORMS} forms of {size} kB in segments of {SEGMENT} bytes: {each:.0f} KiB for "
        f"each, {SEGMENTED_BOUND_KIB} KiB are allowed",
        flush=True,
    )
    return each


class Upstream(asyncio.Protocol):
    """eGain and its storage in one, which keep nothing."""

    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
            whole = end + 4 + int(fields.get("content-length", 0))
            if len(self.data) < whole:
                return
            self.data = self.data[whole:]
            self.transport.write(self.answer(head.split(" ")[1], fields["host"]))

    def answer(self, path, host):
        if path.startswith("/storage"):
            return b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        asked = path.rpartition("/assets/")[2] if "/assets/" in path else str(uuid.uuid4())
        url = f"http://{host}/storage/{asked}?signature={SIGNATURE}"
        asset = {
            "id": asked,
            "name": "a.jpg",
            "size": 1000,
            "contentUrl": url,
            "contentUrlExpiry": "9999-12-31T23:59:59Z",
        }
        body = json.dumps(
            asset | {"access_token": "t", "token_type": "Bearer", "expires_in": 3600}
        ).encode()
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )


def serve_upstream():
    """Starts an upstream in a thread of its own; returns its address."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Upstream, "127.0.0.1", 0))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return "%s:%d" % server.sockets[0].getsockname()


async def _ask(gateway, requests):
    """Sends requests over one connection, each after the answer of the one before."""
    host, port = gateway.data.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    for request in requests:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if answer.split(b" ")[1] not in (b"200", b"201"):
            raise RuntimeError(answer.decode())
        length = next(
            line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:")
        )
        await reader.readexactly(int(length.split(b":")[1]))
    return writer


def _upload(with_key):
    key = f"Idempotency-Key: {uuid.uuid4()}\r\n" if with_key else ""
    head = (
        f"POST /v1/assets?channel=whatsapp&name=photo-{uuid.uuid4()}.jpg HTTP/1.1\r\nHost: x\r\n"
        f"{key}"
    )
    return f"{head}Content-Length: 1000\r\n\r\n".encode() + b"\xff\xd8\xff\xe0" + bytes(996)


def _description():
    return f"GET /v1/assets/{uuid.uuid4()} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _many(gateway, count, make):
    async def one():
        (await _ask(gateway, (make() for _ in range(count // CONNECTIONS)))).close()

    async def all_of_them():
        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))

    asyncio.run(all_of_them())


def keys(gateway, count=KEYS):
    """Bytes that stay of each upload with an `Idempotency-Key`."""
    _many(gateway, count // 10, lambda: _upload(False))
    before = resident(gateway)
    _many(gateway, count, lambda: _upload(True))
    each = (resident(gateway) - before) * 1024 / count
    print(
        f"{count} uploads with an Idempotency-Key: {each:.0f} bytes stay for each, {KEYS_BOUND} "
        "are allowed",
        flush=True,
    )
    return each <= KEYS_BOUND


def urls(gateway, count=URLS):
    """Bytes that stay of each asset that was asked for: its signed URL."""
    _many(gateway, 1000, lambda: _upload(False))
    before = resident(gateway)
    _many(gateway, count, _description)
    each = (resident(gateway) - before) * 1024 / count
    print(
        f"{count} signed URLs of {len(SIGNATURE) + 70} characters: {each:.0f} bytes stay for each, "
        f"{URLS_BOUND} are allowed",
        flush=True,
    )
    return each <= URLS_BOUND


def idle(gateway, count=IDLE):
    """KiB that an idle connection keeps after an upload of 1 MiB."""
    http.client.HTTPConnection(gateway.data).request("GET", "/v1/nothing")
    before = resident(gateway)
    request = (
        "POST /v1/assets?channel=sms&name=a.bin HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {IDLE_SENT}\r\n\r\n"
    ).encode()
    request += bytes(range(128, 256)) * (IDLE_SENT // 128)

    async def all_of_them():
        open_ones = []
        for _ in range(0, count, CONNECTIONS):
            open_ones += await asyncio.gather(
                *(_ask(gateway, [request]) for _ in range(CONNECTIONS))
            )
        await asyncio.sleep(IDLE_SECONDS)
        return (resident(gateway) - before) / len(open_ones)

    each = asyncio.run(all_of_them())
    print(
        f"{count} idle connections after {IDLE_SENT >> 20} MiB over each: {each:.0f} KiB for each, "
        f"{IDLE_BOUND_KIB} KiB are allowed",
        flush=True,
    )
    return each <= IDLE_BOUND_KIB
