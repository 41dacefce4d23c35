"""What is measured, and one run of it."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import socket
import time

from . import load, processes
from .programs import Certificate, Failed, Gateway, Haproxy, Key, Nginx, TlsUpstream, Upstream, ask

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BOUNDARY = "------------------------d74496d66958873e"
# A picture's first bytes, so that its type is found as it is for most files.
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
# Files have bytes like those of a compressed picture up to here; what is longer has a hole, which
# takes no disk.
NOISE = 64 * MIB
UPLOAD = "/v1/assets?channel=sms&name=photo.jpg"
STORAGE = "/storage/new"
# Uploads that stand still while small ones are timed.
STALLED = 500
PEERS = GATEWAY, NGINX, HAPROXY = "asset-gateway", "nginx", "HAProxy"


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Requests of one kind, so many at one time."""

    name: str
    title: str
    size: int
    at_once: int
    count: int
    kind: str = "upload"
    form: bool = False
    query: str = ""
    tls: bool = False
    http2: bool = False
    # What callers write at once; 0 leaves it to the load.
    piece: int = 0
    # Bytes a second of each caller, or of storage for each upload.
    slow_caller: int = 0
    slow_storage: int = 0

    @property
    def memory(self):
        """Whether it is for memory: it takes its time, so it says nothing about cost."""
        return bool(self.slow_caller or self.slow_storage)

    @property
    def unit(self):
        """What its cost is given for."""
        return "GiB" if self.size >= MIB else "1000"

    def paths(self, peer):
        """The gateway's own, or the upstream's for those that pass requests on."""
        gateway = peer == GATEWAY
        if self.kind == "download":
            return f"/v1/assets/{self.size}/content" if gateway else f"/storage/{self.size}"
        if self.kind == "lookup":
            return "/v1/assets/1048576" if gateway else "/assets/1048576"
        return UPLOAD + self.query if gateway else STORAGE


SCENARIOS = [
    Scenario("raw-64m", "upload, 64 MiB × 4", 64 * MIB, 4, 48),
    Scenario("raw-1m", "upload, 1 MiB × 32", MIB, 32, 2048),
    Scenario("form-64m", "upload as a form, 64 MiB × 4", 64 * MIB, 4, 48, form=True),
    Scenario("sha256-64m", "upload with SHA-256, 64 MiB × 4", 64 * MIB, 4, 32, query="&sha256=1"),
    Scenario("tls-64m", "upload, storage behind TLS 1.3, 64 MiB × 4", 64 * MIB, 4, 32, tls=True),
    Scenario("down-64m", "download, 64 MiB × 4", 64 * MIB, 4, 48, kind="download"),
    Scenario("raw-4k", "upload, 4 KiB × 64", 4 * KIB, 64, 32768),
    Scenario("lookup", "metadata from the cache × 64", 0, 64, 65536, kind="lookup"),
    Scenario(
        "slow-callers", "64 MiB × 64, callers send 8 MiB/s", 64 * MIB, 64, 64, slow_caller=8 * MIB
    ),
    Scenario(
        "slow-storage", "64 MiB × 64, storage takes 8 MiB/s", 64 * MIB, 64, 64, slow_storage=8 * MIB
    ),
]


class Files:
    """What is sent, made when it is wanted."""

    def __init__(self, folder):
        self.folder = folder
        self.noise = JPEG + os.urandom(NOISE - len(JPEG))

    def raw(self, size):
        path = pathlib.Path(self.folder, f"{size}.jpg")
        if not path.exists():
            path.write_bytes(self.noise[:size])
            os.truncate(path, size)
        return str(path)

    def form(self, size):
        path = pathlib.Path(self.folder, f"{size}.form")
        if not path.exists():
            part = (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
                'filename="photo.jpg"\r\n'
            )
            end = f"\r\n--{BOUNDARY}--\r\n"
            path.write_bytes(
                part.encode()
                + b"Content-Type: image/jpeg\r\n\r\n"
                + self.noise[:size]
                + end.encode()
            )
        return str(path)


class Bench:
    """The programs' paths and what all runs share."""

    def __init__(self, tools, program, folder):
        self.tools, self.program = tools, program
        self.files = Files(folder)
        self.key = Key.new(program)
        self.certificate = Certificate.new(tools.openssl, folder)

    def peer(self, name, upstream):
        if name == GATEWAY:
            return Gateway(self.program, upstream, self.key)
        return (
            Nginx(self.tools.nginx, upstream)
            if name == NGINX
            else Haproxy(self.tools.haproxy, upstream)
        )

    def requests(self, scenario, peer, count):
        headers = {"authorization": f"Bearer {self.key.secret}"}
        file = None
        if scenario.kind == "upload":
            file = (
                self.files.form(scenario.size) if scenario.form else self.files.raw(scenario.size)
            )
            headers["content-type"] = (
                f"multipart/form-data; boundary={BOUNDARY}" if scenario.form else "image/jpeg"
            )
        return load.Requests(
            scenario.paths(peer), headers, file, count, scenario.at_once, scenario.http2
        )

    def send(self, address, requests, scenario):
        """By h2load, unless callers are special."""
        if scenario.memory or scenario.piece:
            return load.sender(
                self.tools.sender,
                address,
                requests,
                scenario.piece or 64 * KIB,
                scenario.slow_caller,
            )
        return load.h2load(self.tools.h2load, address, requests)

    @contextlib.contextmanager
    def warm(self, scenario, peer):
        """The peer after a warm-up, the upstream behind it, and the ids of all that works beside
        the peer."""
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(Upstream(self.tools.upstream, scenario.slow_storage))
            upstream = plain
            if scenario.tls:
                upstream = stack.enter_context(
                    TlsUpstream(self.tools.nginx, plain, self.certificate)
                )
            proxy = stack.enter_context(self.peer(peer, upstream))
            self.warm_up(scenario, peer, proxy.address)
            yield proxy, plain, plain.pids() | upstream.pids()

    def warm_up(self, scenario, peer, address):
        """Opens connections, fills caches, and lets the gateway see once how this client's forms
        end."""
        if scenario.memory:
            scenario = dataclasses.replace(scenario, size=4 * KIB, at_once=1, count=1)
        once = dataclasses.replace(scenario, at_once=1)
        load.h2load(self.tools.h2load, address, self.requests(once, peer, 1))
        count = whole(min(scenario.count // 8, 1024), scenario.at_once)
        load.h2load(self.tools.h2load, address, self.requests(scenario, peer, count))

    def run(self, scenario, peer, share=1.0):
        """The figures of one run, with a share of the scenario's requests."""
        with self.warm(scenario, peer) as (proxy, upstream, beside):
            requests = self.requests(
                scenario, peer, whole(scenario.count * share, scenario.at_once)
            )
            pids = proxy.pids()
            processes.forget_peak(pids)
            before, busy = upstream.stats(), processes.busy_seconds()
            cpu, others = processes.cpu_seconds(pids), processes.cpu_seconds(beside)
            sent = self.send(proxy.address, requests, scenario)
            cpu, others = processes.cpu_seconds(pids) - cpu, processes.cpu_seconds(beside) - others
            busy = processes.busy_seconds() - busy
            peak = processes.peak_kib(pids)
            check_arrived(scenario, peer, requests, before, upstream.stats())
        return {
            "cpu": cpu,
            "seconds": sent.seconds,
            "requests": requests.count,
            "bytes": requests.count * scenario.size,
            "p50": load.percentile(sent.milliseconds, 50),
            "p99": load.percentile(sent.milliseconds, 99),
            "peak_kib": peak,
            # The share of what the machine did meanwhile that was for somebody else.
            "foreign": max(0.0, 1 - (cpu + others + sent.cpu) / busy) if busy else 0.0,
        }

    def instructions(self, scenario, peer, share):
        """How many the peer takes; counting slows it down, so nothing else is measured here."""
        with self.warm(scenario, peer) as (proxy, _, _):
            requests = self.requests(
                scenario, peer, whole(scenario.count * share, scenario.at_once)
            )
            with processes.instructions(self.tools.perf, proxy.pids()) as counted:
                self.send(proxy.address, requests, scenario)
        return {
            "instructions": sum(counted),
            "requests": requests.count,
            "bytes": requests.count * scenario.size,
        }


def whole(count, at_once):
    """As many rounds of all callers as are in the count, and at least one."""
    return max(1, int(count) // at_once) * at_once


def check_arrived(scenario, peer, requests, before, after):
    """Every request has to have reached the upstream whole, and only as often as it was made."""
    came = {name: after[name] - before[name] for name in after}
    expected = {"refused": 0, "cut": 0}
    if scenario.kind == "upload":
        # Who passes a form on sends it with what frames it.
        form = scenario.form and peer != "asset-gateway"
        size = os.path.getsize(requests.file) if form else scenario.size
        expected |= {"uploads": requests.count, "upload_bytes": requests.count * size}
        expected |= {"signed": requests.count if peer == GATEWAY else 0}
    if scenario.kind == "download":
        expected |= {"downloads": requests.count}
    if wrong := {
        name: (came[name], count) for name, count in expected.items() if came[name] != count
    }:
        raise Failed(f"{scenario.name} through {peer}: came and should have come: {wrong}")


def verify(bench, peer, folder):
    """What goes through has to come out the same: files of several sizes, a form, and a
    download."""
    kept = pathlib.Path(folder, f"kept-{peer}")
    kept.mkdir()
    gateway = peer == GATEWAY
    with (
        Upstream(bench.tools.upstream, keep=str(kept)) as upstream,
        bench.peer(peer, upstream) as proxy,
    ):
        cases = [(False, 1 + len(JPEG)), (False, 4 * KIB), (False, MIB + 1), (False, 64 * MIB)]
        cases += [(True, MIB + 1), (True, 64 * MIB)] if gateway else []
        for number, (form, size) in enumerate(cases):
            scenario = Scenario("verify", "", size, 1, 1, form=form)
            requests = bench.requests(scenario, peer, 1)
            with open(requests.file, "rb") as body:
                length = {"content-length": str(os.path.getsize(requests.file))}
                status, answer = ask(
                    proxy.address, "POST", requests.path, body, requests.headers | length
                )
            found = (
                hashlib.sha256(pathlib.Path(kept, str(number)).read_bytes()).hexdigest()
                if status == 201
                else answer
            )
            if found != hashlib.sha256(bench.files.noise[:size]).hexdigest():
                raise Failed(f"{size} bytes through {peer} came out as {found!r}")
        scenario = Scenario("verify", "", 64 * MIB, 1, 1, kind="download")
        requests = bench.requests(scenario, peer, 1)
        _, through = ask(proxy.address, "GET", requests.path, headers=requests.headers)
        _, straight = ask(upstream.address, "GET", f"/storage/{scenario.size}")
        if through != straight:
            raise Failed(f"a download through {peer} isn't what the upstream sent")


def added_latency(bench, count):
    """Milliseconds of one upload of 100 KiB at a time: through the gateway, and its two exchanges
    made directly."""
    size = 100 * KIB
    body = pathlib.Path(bench.files.folder, "asset.json")
    body.write_text('{"name":"photo.jpg","contentType":"image/jpeg","size":102400,"channel":"sms"}')
    scenario = Scenario("latency", "", size, 1, count)
    with Upstream(bench.tools.upstream) as upstream, bench.peer(GATEWAY, upstream) as gateway:
        targets = [
            (gateway, bench.requests(scenario, GATEWAY, count)),
            (
                upstream,
                load.Requests("/assets", {"content-type": "application/json"}, str(body), count, 1),
            ),
            (
                upstream,
                load.Requests(
                    STORAGE, {"content-type": "image/jpeg"}, bench.files.raw(size), count, 1
                ),
            ),
        ]
        found = []
        for target, requests in targets:
            load.h2load(
                bench.tools.h2load,
                target.address,
                dataclasses.replace(requests, count=max(1, count // 10)),
            )
            times = load.h2load(bench.tools.h2load, target.address, requests).milliseconds
            found.append((load.percentile(times, 50), load.percentile(times, 99)))
    whole, sign, store = found
    return {
        "gateway": whole,
        "straight": [sign[0] + store[0], sign[1] + store[1]],
        "requests": count,
    }


@contextlib.contextmanager
def stalled(bench, address, upstream, count):
    """So many uploads of 64 MiB whose callers send their first 256 KiB and then nothing, while the
    block lasts."""
    headers = {"Host": address, "Content-Length": 64 * MIB, "Content-Type": "image/jpeg"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    lines += f"Authorization: Bearer {bench.key.secret}\r\n"
    head = f"POST {UPLOAD} HTTP/1.1\r\n{lines}\r\n".encode()
    host, port = address.rsplit(":", 1)
    signed = upstream.stats()["signed"]
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            caller = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            caller.sendall(head + bench.files.noise[: 256 * KIB])
        deadline = time.monotonic() + 10
        while upstream.stats()["signed"] < signed + count:
            if time.monotonic() > deadline:
                raise Failed(f"not all of {count} uploads are under way")
            time.sleep(0.01)
        yield


def beside_stalled(bench, count, at_once=STALLED):
    """Milliseconds of uploads of 4 KiB, one at a time, by themselves and beside stalled ones: p50
    and p99 of each."""
    scenario = Scenario("stalled", "", 4 * KIB, 1, count)
    requests = bench.requests(scenario, GATEWAY, count)
    with Upstream(bench.tools.upstream) as upstream, bench.peer(GATEWAY, upstream) as gateway:

        def measured():
            times = load.h2load(bench.tools.h2load, gateway.address, requests).milliseconds
            return [load.percentile(times, 50), load.percentile(times, 99)]

        # The first is a warm-up.
        measured()
        alone = measured()
        with stalled(bench, gateway.address, upstream, at_once):
            beside = measured()
        if upstream.stats()["uploads"] != 3 * count:
            raise Failed("a stalled upload has ended, or a small one is missing")
    return {"alone": alone, "beside": beside, "requests": count, "stalled": at_once}


def start_to_ready(bench):
    """Milliseconds from its start until `/readyz` answers 200."""
    with Upstream(bench.tools.upstream) as upstream, bench.peer(GATEWAY, upstream) as gateway:
        return gateway.ready_after * 1000
