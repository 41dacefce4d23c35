"""Where the gateway's instructions go: samples of perf, each put to what was being done."""

import os
import re
import signal
import subprocess
import time

from . import processes
from .scenarios import GATEWAY, whole

# Enough samples for whole percents.
FREQUENCY = 1999
# What is done, by a part of the symbol's name; the first that fits counts. Kernel's symbols stand
# behind `[k]`.
DOING = [
    (
        "the kernel copies bytes",
        r"\[k\].*(copy_(to|from)|copy_user|check_object|virt_addr_valid|rep_movs|clear_page)",
    ),
    ("the kernel does all else: TCP, wake-ups, timers", r"\[k\]"),
    ("memory taken and given back", r"malloc|free|realloc|unlink_chunk|calloc|memalign"),
    ("bytes moved and compared", r"mem(move|cpy|cmp|set|chr_avx)"),
    ("the search for a form's boundary", r"memchr::"),
    ("digests", r"sha2|sha256"),
    ("HTTP", r"hyper|httparse|http::|h2::"),
    ("tasks and sockets", r"tokio|mio|futures"),
    (
        "JSON, text and the log",
        r"serde|tracing|core::(fmt|str|num)|jiff|itoa|url::|idna|percent_encoding",
    ),
    ("asset-gateway's own code", r"asset_gateway"),
]
REST = "all else"
# More and shorter names make no difference to who reads them.
SCENARIOS = ("raw-64m", "form-64m", "raw-1m", "raw-4k", "lookup")
SAMPLE = re.compile(r"\s*([\d.]+)%\s+(.*)")


def doing(symbol):
    return next((name for name, pattern in DOING if re.search(pattern, symbol)), REST)


def shares(report):
    """Percent by what was being done, of `perf report`'s lines."""
    found = {name: 0.0 for name, _ in DOING} | {REST: 0.0}
    for line in report.splitlines():
        if sample := SAMPLE.fullmatch(line):
            found[doing(sample[2])] += float(sample[1])
    return found


def profile(bench, scenario, share):
    """Percent of the gateway's instructions by what was being done."""
    with bench.warm(scenario, GATEWAY) as (gateway, _, _):
        requests = bench.requests(
            scenario, GATEWAY, whole(scenario.count * share, scenario.at_once)
        )
        data = os.path.join(bench.files.folder, "perf.data")
        pids = ",".join(map(str, gateway.pids()))
        record = [
            bench.tools.perf,
            "record",
            "-q",
            "-e",
            "instructions",
            "-F",
            str(FREQUENCY),
            "-o",
            data,
            "-p",
            pids,
        ]
        recorder = subprocess.Popen(record, stderr=subprocess.DEVNULL)
        try:
            time.sleep(processes.ATTACHED)
            bench.send(gateway.address, requests, scenario)
        finally:
            recorder.send_signal(signal.SIGINT)
            recorder.wait(20)
        report = [
            bench.tools.perf,
            "report",
            "-i",
            data,
            "--stdio",
            "--no-children",
            "--sort",
            "symbol",
            "-F",
            "overhead,sym",
        ]
        told = subprocess.run(report, capture_output=True, text=True, check=True).stdout
    return shares("\n".join(line for line in told.splitlines() if not line.startswith("#")))
