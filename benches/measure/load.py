"""Requests, and how long they took. h2load makes most; `sender` those that h2load can't."""

import dataclasses
import os
import pathlib
import resource
import subprocess
import tempfile

from .programs import Failed

# No run of this comparison is meant to take longer.
LIMIT = 180


@dataclasses.dataclass
class Load:
    """What was sent and what it took."""

    seconds: float
    milliseconds: list
    cpu: float


@dataclasses.dataclass
class Requests:
    """The same request many times: a path, a file to post or None, and how many at one time."""

    path: str
    headers: dict
    file: str
    count: int
    at_once: int
    http2: bool = False


def spent():
    """Processor time of programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def finished(command):
    """Runs a load to its end, and returns what it printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(command[0])} took more than {LIMIT} s") from None
    if done.returncode:
        raise Failed(f"{os.path.basename(command[0])}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def streams(at_once):
    """Of an HTTP/2 connection: as many as divide the number at one time, up to 20."""
    return max(number for number in range(1, 21) if at_once % number == 0)


def h2load(program, address, requests):
    """Raises if any request wasn't answered 200 or 201."""
    each = streams(requests.at_once) if requests.http2 else 1
    with tempfile.NamedTemporaryFile("r", prefix="asset-gateway-compare-") as log:
        command = [program, f"http://{address}{requests.path}", f"--log-file={log.name}"]
        command += ["-n", str(requests.count), "-c", str(requests.at_once // each), "-m", str(each)]
        command += [] if requests.http2 else ["--h1"]
        command += [
            word for name, value in requests.headers.items() for word in ("-H", f"{name}: {value}")
        ]
        command += ["-d", requests.file] if requests.file else []
        before = spent()
        told = finished(command)
        cpu = spent() - before
        rows = [line.split("\t") for line in log.read().splitlines()]
    answers = [(int(start), int(took)) for start, status, took in rows if status in ("200", "201")]
    if len(answers) != requests.count:
        raise Failed(
            f"{requests.count} requests to {requests.path}, {len(answers)} answered 200 or 201:\n"
            f"{told[-1000:]}"
        )
    first, last = min(start for start, _ in answers), max(start + took for start, took in answers)
    return Load((last - first) / 1e6, [took / 1000 for _, took in answers], cpu)


def sender(program, address, requests, piece, rate=0):
    """Each caller sends its share of the file's copies in such pieces, with so many bytes a
    second."""
    size = os.path.getsize(requests.file)
    fields = {"Host": address, "Content-Length": size, **requests.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with tempfile.NamedTemporaryFile(prefix="asset-gateway-compare-") as head:
        pathlib.Path(head.name).write_text(f"POST {requests.path} HTTP/1.1\r\n{lines}\r\n")
        command = [
            program,
            address,
            "--head",
            head.name,
            "--body",
            requests.file,
            "--callers",
            str(requests.at_once),
        ]
        command += [
            "--each",
            str(requests.count // requests.at_once),
            "--piece",
            str(piece),
            "--rate",
            str(rate),
        ]
        before = spent()
        told = finished(command)
        cpu = spent() - before
    times = [float(line) for line in told.split()]
    return Load(sum(times) / requests.at_once / 1000, times, cpu)


def percentile(times, percent):
    """The smallest time that so many percent of the requests kept."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]
