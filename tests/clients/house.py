"""A gateway in front of a stand-in for eGain, both processes of their own on free ports of loopback."""

import http.client
import json
import os
import re
import subprocess

EXPORT = re.compile(r"export (ASSET_GATEWAY_\w+)=(.*)")


class House:
    """Starts both on entry and stops both on exit; `with House(program) as house`."""

    def __init__(self, program, **settings):
        """Settings are variables without their prefix: SERVER__LISTEN="..."."""
        self.program, self.settings = program, settings

    def __enter__(self):
        quiet = {"stdout": subprocess.PIPE, "text": True}
        stand = [self.program, "sandbox", "--listen", "127.0.0.1:0"]
        self.sandbox = subprocess.Popen(stand, stderr=subprocess.DEVNULL, **quiet)
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
                break
        settings |= {f"ASSET_GATEWAY_{key}": value for key, value in self.settings.items()}
        serve = {"env": os.environ | settings, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        self.gateway = subprocess.Popen([self.program, "serve"], **serve)
        for line in self.gateway.stderr:
            said = json.loads(line) if line.startswith("{") else {"message": line}
            if said.get("message") == "serving":
                self.data, self.admin = said["listen"], said["admin"]
                return self
            print(line, end="")
        self.__exit__()
        raise RuntimeError("the gateway didn't start")

    def __exit__(self, *_):
        for process in (self.gateway, self.sandbox):
            process.terminate()
        # What it logs is read to the end, or it would wait for a reader.
        self.log = self.gateway.communicate()[0]
        self.sandbox.communicate()

    def metric(self, name):
        """A metric's value; with its labels as they are printed."""
        admin = http.client.HTTPConnection(self.admin)
        admin.request("GET", "/metrics")
        lines = admin.getresponse().read().decode().splitlines()
        values = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"asset_gateway_{name} ")]
        return values[0] if values else 0.0
