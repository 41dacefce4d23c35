"""A stand-in for Twilio and for WhatsApp Cloud, with the media of customers.

Twilio's API is at 127.0.0.1, and redirects to storage at localhost, which refuses a request that
brings credentials. WhatsApp's media URLs need the token as well. Both compress for those that
accept it.
"""

import base64
import contextlib
import gzip
import http.client
import http.server
import json
import sys
import threading
import time
import urllib.parse

ACCOUNT, LOGIN = "AC0123456789abcdef0123456789abcdef", "twilio's secret"
PHONE, TOKEN = "106540352242922", "EAAJB-whatsapp"
BASIC = "Basic " + base64.b64encode(f"{ACCOUNT}:{LOGIN}".encode()).decode()
# How long the second half of a file is held back for.
PATIENCE = 10


class Media:
    """A customer's file, and how the provider serves it."""

    def __init__(self, content, content_type, has_length=True, hold=None, late=0, pieces=0, cut=0):
        """It is sent from its second half on when `hold()` is true; the first `late` requests get
        404, and the first `cut` downloads break off; `pieces` of it come slowly."""
        self.content, self.content_type, self.has_length = content, content_type, has_length
        self.hold, self.late, self.pieces = hold, late, pieces
        self.cut, self.requests, self.held_in_vain = cut, 0, False


class Provider:
    """`with Provider() as provider`: its files are in `media` by id, and what it got in
    `uploaded`, `messages` and `faults`."""

    def __enter__(self):
        self.media, self.uploaded, self.messages, self.faults = {}, {}, [], []
        handler = type("BoundHandler", (Handler,), {"provider": self})
        self.server = QuietServer(("127.0.0.1", 0), handler)
        self.port = self.server.server_port
        self.url, self.storage = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def media_url(self, media):
        """As Twilio's webhooks have it."""
        return f"{self.url}/2010-04-01/Accounts/{ACCOUNT}/Messages/MM0123/Media/{media}"

    def environment(self):
        """What adapters are set up with."""
        return {
            "TWILIO_URL": self.url,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": LOGIN,
            "GRAPH_URL": f"{self.url}/v24.0",
            "WHATSAPP_TOKEN": TOKEN,
            "WHATSAPP_PHONE_ID": PHONE,
        }


class QuietServer(http.server.ThreadingHTTPServer):
    """Clients that close a connection are no fault."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        """Quiet."""

    def do_GET(self):
        with contextlib.suppress(ConnectionError):
            path, _, query = self.path.partition("?")
            words = path.strip("/").split("/")
            media_id = words[-1] if words[0] != "attachments" else query.removeprefix("mid=")
            media = self.provider.media.get(media_id)
            if media is None:
                return self.reply(404, {"error": "no such media"})
            if words[0] == "2010-04-01":
                self.twilio(media_id, media)
            elif words[0] == "cdn":
                if self.headers.get("Authorization"):
                    self.provider.faults.append("the login went along with the redirect")
                    return self.reply(400, {"error": "only one authentication is allowed"})
                self.send_media(media)
            elif words[0] == "v24.0":
                self.about(media_id, media)
            elif self.authorized(f"Bearer {TOKEN}"):
                self.send_media(media)

    def twilio(self, media_id, media):
        if not self.authorized(BASIC):
            return
        media.requests += 1
        if media.requests <= media.late:
            return self.reply(404, {"code": 20404, "message": "The resource was not found"})
        location = f"{self.provider.storage}/cdn/{media_id}"
        self.reply(307, {}, {"Location": location})

    def about(self, media_id, media):
        if not self.authorized(f"Bearer {TOKEN}"):
            return
        media.requests += 1
        if media.requests <= media.late:
            return self.reply(404, {"error": {"message": "not there yet", "code": 100}})
        self.reply(
            200,
            {
                "url": f"{self.provider.storage}/attachments/?mid={media_id}",
                "mime_type": media.content_type,
                "file_size": len(media.content),
                "id": media_id,
                "messaging_product": "whatsapp",
            },
        )

    def send_media(self, media):
        content = media.content
        self.send_response(200)
        self.send_header("Content-Type", media.content_type)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content)
            self.send_header("Content-Encoding", "gzip")
        if media.has_length:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        middle = len(content) // 2
        step = middle // (media.pieces or 1) + 1
        for at in range(0, middle, step):
            self.send_piece(content[at : min(at + step, middle)], media)
            time.sleep(0.1 if media.pieces else 0)
        if media.cut:
            media.cut -= 1
            self.close_connection = True
            return
        if media.hold:
            end = time.monotonic() + PATIENCE
            while not media.hold() and time.monotonic() < end:
                time.sleep(0.02)
            media.held_in_vain = time.monotonic() >= end
        self.send_piece(content[middle:], media)
        if not media.has_length:
            self.wfile.write(b"0\r\n\r\n")

    def send_piece(self, piece, media):
        if not media.has_length:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self.wfile.write(piece)

    def do_POST(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.provider.faults.append("an upload had no length")
            return self.reply(411, {"error": "no length"})
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path == f"/v24.0/{PHONE}/media":
            if self.authorized(f"Bearer {TOKEN}"):
                self.take_upload(body)
        elif self.path == f"/v24.0/{PHONE}/messages":
            if self.authorized(f"Bearer {TOKEN}"):
                self.provider.messages.append(json.loads(body))
                self.reply(200, {"messages": [{"id": "wamid.1"}]})
        elif self.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json":
            if self.authorized(BASIC):
                self.take_message(dict(urllib.parse.parse_qsl(body.decode())))
        else:
            self.reply(404, {"error": self.path})

    def take_upload(self, body):
        boundary = self.headers["Content-Type"].split("boundary=")[1].strip('"')
        parts = body.split(f"--{boundary}".encode())[1:-1]
        heads, contents = zip(*(part[2:-2].split(b"\r\n\r\n", 1) for part in parts))
        names = [head.decode().split(' name="')[1].split('"')[0] for head in heads]
        if names[-1:] != ["file"] or "messaging_product" not in names:
            self.provider.faults.append(f"the form's fields are {names}")
        head = heads[-1].decode()
        name = head.split('filename="')[1].split('"')[0]
        content_type = head.lower().split("content-type:")[1].split()[0]
        media = f"90{len(self.provider.uploaded)}"
        self.provider.uploaded[media] = (name, content_type, contents[-1])
        self.reply(200, {"id": media})

    def take_message(self, form):
        """Gets the file without credentials, as the provider does."""
        url = urllib.parse.urlsplit(form["MediaUrl"])
        with contextlib.closing(http.client.HTTPConnection(url.netloc)) as storage:
            storage.request("GET", f"{url.path}?{url.query}")
            response = storage.getresponse()
            form["file"] = response.read() if response.status == 200 else response.status
        self.provider.messages.append(form)
        self.reply(201, {"sid": "MM9876", "status": "queued"})

    def authorized(self, expected):
        if self.headers.get("Authorization") == expected:
            return True
        self.provider.faults.append("a request had no login, or a wrong one")
        self.reply(401, {"error": "who are you?"})
        return False

    def reply(self, status, body, headers=()):
        body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
