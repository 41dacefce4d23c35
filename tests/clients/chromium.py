"""Chromium without a window, driven by the W3C WebDriver protocol. Needs Debian's `chromium` and
`chromium-driver`."""

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request

# Longer than anything takes here, also on a busy machine.
PATIENCE_S = 20
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# How WebDriver names an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    """One window, with a profile in a folder of its own."""

    def __init__(self, profile):
        port = free_port()
        self.driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--silent"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.base = f"http://127.0.0.1:{port}"
        self.wait_for(lambda: self.call("GET", "/status")["ready"])
        options = {
            "args": [*ARGUMENTS, f"--user-data-dir={profile}"],
            "prefs": {"download.default_directory": profile},
        }
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = f"/session/{session['sessionId']}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return json.load(response)["value"]

    @staticmethod
    def wait_for(done):
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                if result := done():
                    return result
            except (urllib.error.URLError, ConnectionError):
                pass
            if time.monotonic() > until:
                return None
            time.sleep(0.05)

    def open(self, url):
        """Reloads the page where no URL is given."""
        try:
            where = ("/url", {"url": url}) if url else ("/refresh", {})
            self.call("POST", self.session + where[0], where[1])
        except urllib.error.HTTPError:
            pass  # What is saved isn't shown: the page before it stays.

    def run(self, script, *arguments):
        """What a script returns, or what its promise comes to."""
        body = {"script": script, "args": arguments}
        return self.call("POST", self.session + "/execute/sync", body)

    def cdp(self, command, **parameters):
        """A command of Chromium's own protocol, for what WebDriver lacks."""
        body = {"cmd": command, "params": parameters}
        return self.call("POST", self.session + "/goog/cdp/execute", body)

    def find(self, selector):
        body = {"using": "css selector", "value": selector}
        return self.call("POST", self.session + "/element", body)[ELEMENT]

    def click(self, selector):
        self.call("POST", f"{self.session}/element/{self.find(selector)}/click", {})

    def type_in(self, selector, text):
        """Keys to an element; a file input takes paths, one a line."""
        self.call("POST", f"{self.session}/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        """Keys to whatever has the focus; those before the last are held down."""
        downs = [{"type": "keyDown", "value": key} for key in keys]
        ups = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        source = {"type": "key", "id": "keyboard", "actions": downs + ups}
        self.call("POST", self.session + "/actions", {"actions": [source]})

    def picture(self):
        """The visible part as PNG."""
        return base64.b64decode(self.call("GET", self.session + "/screenshot"))

    def complaints(self):
        """What the console says of the policy; a page without an icon is none of it."""
        lines = self.call("POST", self.session + "/se/log", {"type": "browser"})
        return [line["message"] for line in lines if "favicon.ico" not in line["message"]]

    def close(self):
        try:
            self.call("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()
