"""Webhooks of Twilio and WhatsApp, acknowledged at once: webhook.py PORT QUEUE

A webhook only writes down what is to be stored. `adapter.py work QUEUE` stores it. Check the
provider's signature first: see docs/adapters/webhooks.md.
"""

import http.server
import json
import os
import pathlib
import sys
import urllib.parse

MOST = 1024 * 1024  # bytes of a webhook's body
KINDS = ("image", "audio", "video", "document", "sticker")


class Webhook(http.server.BaseHTTPRequestHandler):
    timeout = 10  # seconds until the next bytes arrive

    def do_POST(self):
        length = int(self.headers.get("Content-Length", "0"))
        if length > MOST:
            return self.send_error(413)
        body = self.rfile.read(length).decode()
        files = {"/twilio": from_twilio, "/whatsapp": from_whatsapp}.get(self.path)
        if not files:
            return self.send_error(404)
        for media_id, lines in files(body):
            write_down(media_id, lines)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Without a line for each request."""


def from_twilio(body):
    form = dict(urllib.parse.parse_qsl(body))
    for nth in range(int(form.get("NumMedia", "0"))):
        url = form[f"MediaUrl{nth}"]
        yield urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1], ["twilio", url, ""]


def from_whatsapp(body):
    for entry in json.loads(body).get("entry", []):
        for change in entry.get("changes", []):
            for message in change["value"].get("messages", []):
                if message["type"] in KINDS:
                    media = message[message["type"]]
                    yield media["id"], ["whatsapp", media["id"], media.get("filename", "")]


def write_down(media_id, lines):
    """Survives a restart. A notification that comes twice writes the same file."""
    queue = pathlib.Path(sys.argv[2])
    safe = "".join(c for c in media_id if c.isalnum() or c in "-_")
    unfinished = queue / f"{safe}.new"
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write("\n".join(line.replace("\n", " ") for line in lines))
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(queue / f"{safe}.job")


if __name__ == "__main__":
    address = ("127.0.0.1", int(sys.argv[1]))
    http.server.ThreadingHTTPServer(address, Webhook).serve_forever()
