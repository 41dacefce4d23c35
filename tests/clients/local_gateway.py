"""A gateway in front of a stand-in for eGain, both processes of their own on free ports of
loopback."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time

# What the stand-in's tokens, its client's secret and signed URLs hold, and callers' keys: see
# tests/e2e/support/secret_canary.rs.
PLANTED = re.compile("sandbox-token-|sandbox-secret|agw_|signature=|eyJ")
EXPORT = re.compile(r"export (ASSET_GATEWAY_\w+)=(.*)")


class LocalGateway:
    """Starts both on entry and stops both on exit; `with LocalGateway(program) as gateway`."""

    def __init__(self, program, log_reader=False, sandbox=("--listen", "127.0.0.1:0"), **settings):
        """Settings are variables without their prefix: SERVER__LISTEN="...". With `log_reader` the
        log goes through a pipe."""
        self.program, self.log_reader, self.settings = program, log_reader, settings
        self.sandbox_options = sandbox

    def __enter__(self):
        stand = [self.program, "sandbox", *self.sandbox_options]
        self.sandbox = subprocess.Popen(
            stand, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        settings = {
            "ASSET_GATEWAY_AUTH__MODE": "none",
            "ASSET_GATEWAY_SERVER__LISTEN": "127.0.0.1:0",
            "ASSET_GATEWAY_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
            "ASSET_GATEWAY_SERVER__DRAIN_DELAY": "0s",
            "ASSET_GATEWAY_LOG__FORMAT": "json",
        }
        for line in self.sandbox.stdout:
            if export := EXPORT.match(line):
                settings[export[1]] = export[2]
            elif "/_sandbox/" in line:
                self.stand = line.split("//")[1].split("/")[0]
                break
        settings |= {f"ASSET_GATEWAY_{key}": value for key, value in self.settings.items()}
        self.log = tempfile.TemporaryFile("a+")
        self.reader = (
            subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=self.log)
            if self.log_reader
            else None
        )
        stderr = self.reader.stdin if self.reader else self.log
        self.process = subprocess.Popen(
            [self.program, "serve"], env=os.environ | settings, stderr=stderr
        )
        if self.reader:
            self.reader.stdin.close()
        while self.process.poll() is None:
            for line in self.lines():
                if line.get("message") == "serving":
                    self.data, self.admin = line["listen"], line["admin"]
                    return self
            time.sleep(0.05)
        self.sandbox.terminate()
        raise RuntimeError(f"the gateway didn't start: {self.lines()}")

    def __exit__(self, *_):
        for process in (self.process, self.sandbox):
            process.terminate()
            process.wait()
        if self.reader:
            self.reader.wait()
        self.log.seek(0)
        if leaks := [line for line in self.log if PLANTED.search(line)]:
            raise RuntimeError(f"a secret is in the log: {leaks[0]}")

    @contextlib.contextmanager
    def log_stopped(self):
        """Nobody reads the log meanwhile."""
        self.reader.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.reader.send_signal(signal.SIGCONT)

    def lines(self):
        """What the gateway has logged so far."""
        self.log.seek(0)
        return [
            json.loads(line) if line.startswith("{") else {"message": line}
            for line in self.log
            if line.endswith("\n")
        ]

    def metric(self, name):
        """A metric's value; with its labels as they are printed."""
        admin = http.client.HTTPConnection(self.admin)
        admin.request("GET", "/metrics")
        lines = admin.getresponse().read().decode().splitlines()
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.startswith(f"asset_gateway_{name} ")
        ]
        return values[0] if values else 0.0
