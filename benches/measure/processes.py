"""What the kernel knows about processes: time, memory, instructions."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
# perf counts from the moment it is attached, which it doesn't tell.
ATTACHED = 0.3


def fields(pid):
    """/proc/PID/stat after the program's name, which may have blanks and brackets."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(pid):
    """A process and its children: nginx works in those."""
    found, parents = {pid}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parents[int(entry)] = int(fields(entry)[1])
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_seconds(pids):
    """User and system time."""
    return sum(sum(map(int, fields(pid)[11:13])) for pid in pids) / TICK


def busy_seconds():
    """What all processors have done since the start, whoever it was for: all but idle, waiting and
    guests' time."""
    first = pathlib.Path("/proc/stat").read_text().splitlines()[0]
    user, nice, system, _, _, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def forget_peak(pids):
    """From here on the peak of resident memory is a new one."""
    for pid in pids:
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_kib(pids):
    """The peak of resident memory; what processes share counts for each."""
    return sum(status_kib(pid, "VmHWM") for pid in pids)


def status_kib(pid, name):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))


def counts_instructions(perf):
    """Whether perf is there and may count: machines in clouds often have no counters."""
    if not perf:
        return False
    tried = subprocess.run(
        [perf, "stat", "-e", "instructions:u,instructions:k", "true"],
        capture_output=True,
        text=True,
    )
    return tried.returncode == 0 and "<not" not in tried.stderr


@contextlib.contextmanager
def instructions(perf, pids):
    """Counts what the processes do inside the block; the list that is given gets user's and
    kernel's instructions."""
    found = []
    command = [
        perf,
        "stat",
        "-x,",
        "-e",
        "instructions:u,instructions:k",
        "-p",
        ",".join(map(str, pids)),
    ]
    counter = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(ATTACHED)
        yield found
    finally:
        counter.send_signal(signal.SIGINT)
        told = counter.communicate(timeout=20)[1]
    found += [int(line.split(",")[0]) for line in told.splitlines() if "instructions" in line]
