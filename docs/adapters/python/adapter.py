"""Files between a messaging provider and the gateway, in Python 3.9 or later with requests.

adapter.py twilio-in MEDIA_URL            stores a customer's file
adapter.py whatsapp-in MEDIA_ID [NAME]    stores a customer's file
adapter.py whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
adapter.py twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
adapter.py work QUEUE                     stores the files that webhook.py wrote down
"""

import contextlib
import json
import os
import pathlib
import sys
import time
import urllib.parse
import uuid

import requests

GATEWAY = os.environ["GATEWAY_URL"]
GATEWAY_KEY = os.environ.get("GATEWAY_KEY", "")
TWILIO = os.environ.get("TWILIO_URL", "https://api.twilio.com")
TWILIO_LOGIN = (os.environ.get("TWILIO_ACCOUNT_SID", ""), os.environ.get("TWILIO_AUTH_TOKEN", ""))
GRAPH = os.environ.get("GRAPH_URL", "https://graph.facebook.com/v24.0")
GRAPH_TOKEN = {"Authorization": f"Bearer {os.environ.get('WHATSAPP_TOKEN', '')}"}
PHONE = os.environ.get("WHATSAPP_PHONE_ID", "")

TIMEOUT = (5, 60)  # seconds to connect, and until the next bytes arrive
ATTEMPTS = 5
PAUSE, LONGEST_PAUSE = 2, 300  # seconds
PIECE = 64 * 1024


class Refused(Exception):
    """A retry doesn't help. `customer` is what to tell the customer, if anything."""

    customer = None


class Unavailable(Exception):
    """A retry may help after `wait` seconds."""

    def __init__(self, message, wait=PAUSE):
        super().__init__(message)
        self.wait = wait


def main():
    command, *given = sys.argv[1:]
    commands = {
        "twilio-in": store_from_twilio,
        "whatsapp-in": store_from_whatsapp,
        "whatsapp-out": send_to_whatsapp,
        "twilio-out": send_to_twilio,
        "work": work,
    }
    try:
        print(json.dumps(commands[command](*given), ensure_ascii=False))
    except (Refused, Unavailable) as error:
        if getattr(error, "customer", None):
            print(f"tell the customer: {error.customer}")
        sys.exit(f"{command} failed: {error}")


def store_from_twilio(media_url):
    # Without this check, a forged webhook could send your Twilio login to any host.
    if not media_url.startswith(f"{TWILIO}/"):
        raise Refused(f"{media_url} isn't Twilio's")

    def media():
        # Twilio redirects to its storage. requests doesn't send the login to another host.
        return get(media_url, auth=TWILIO_LOGIN)

    # A media URL ends with the media's SID. A message with three files has three of them.
    key = urllib.parse.urlsplit(media_url).path.rsplit("/", 1)[-1]
    return with_retries(lambda: store("sms", key, media))


def store_from_whatsapp(media_id, name=None):
    def media():
        # The URL is valid for five minutes, so each attempt gets a new one.
        with get(f"{GRAPH}/{urllib.parse.quote(media_id)}", headers=GRAPH_TOKEN) as found:
            url = found.json()["url"]
        return get(url, headers=GRAPH_TOKEN)

    return with_retries(lambda: store("whatsapp", media_id, media, name))


def get(url, **options):
    """A GET whose body isn't read yet. Its length is that of the file: nothing is compressed."""
    headers = {"Accept-Encoding": "identity"} | options.pop("headers", {})
    response = requests.get(url, headers=headers, timeout=TIMEOUT, stream=True, **options)
    if response.ok:
        return response
    message = f"the provider responded {response.status_code}: {response.text[:300]}"
    # 404: the webhook may come before the media is there.
    if response.status_code in (404, 408, 429) or response.status_code >= 500:
        raise Unavailable(message, pause(response))
    raise Refused(message)


def store(channel, key, media, name=None):
    """Streams a file from the provider to the gateway."""
    with media() as source:
        response = requests.post(
            f"{GATEWAY}/v1/assets",
            # requests omits parameters that are None, such as the size of a body without length.
            params={"channel": channel, "name": name, "size": source.headers.get("Content-Length")},
            headers=with_key(
                {
                    "Content-Type": source.headers.get("Content-Type", "application/octet-stream"),
                    # The same for each attempt, so that a file is stored once.
                    "Idempotency-Key": key,
                }
            ),
            data=source.iter_content(PIECE),
            timeout=TIMEOUT,
        )
    check(response)
    return response.json()


def send_to_whatsapp(asset, to):
    """Sends the bytes to WhatsApp, then a message that names them."""
    media = with_retries(lambda: upload_to_whatsapp(asset))
    kind = media["type"].split("/")[0]
    kind = kind if kind in ("image", "audio", "video") else "document"
    content = {"id": media["id"]}
    if kind == "document":
        content["filename"] = media["name"]
    # Not repeated: a message whose response was lost may have been sent.
    response = requests.post(
        f"{GRAPH}/{PHONE}/messages",
        headers=GRAPH_TOKEN,
        json={"messaging_product": "whatsapp", "to": to, "type": kind, kind: content},
        timeout=TIMEOUT,
    )
    if not response.ok:
        raise Refused(f"WhatsApp responded {response.status_code}: {response.text[:300]}")
    return response.json()


def upload_to_whatsapp(asset):
    about = requests.get(f"{GATEWAY}/v1/assets/{asset}", headers=with_key(), timeout=TIMEOUT)
    check(about)
    about = about.json()
    with requests.get(
        f"{GATEWAY}/v1/assets/{asset}/content",
        headers=with_key({"Accept-Encoding": "identity"}),
        timeout=TIMEOUT,
        stream=True,
    ) as content:
        check(content)
        length = int(content.headers["Content-Length"])
        form = Form(about["name"], about["contentType"], content.raw, length)
        response = requests.post(
            f"{GRAPH}/{PHONE}/media",
            headers=GRAPH_TOKEN | {"Content-Type": form.content_type},
            data=form,
            timeout=TIMEOUT,
        )
    if not response.ok:
        message = f"WhatsApp responded {response.status_code}: {response.text[:300]}"
        raise (Unavailable if response.status_code >= 500 else Refused)(message)
    return response.json() | {"type": about["contentType"], "name": about["name"]}


class Form:
    """A form around a stream, with a known length: `files=` would read the whole file first."""

    def __init__(self, name, content_type, file, length):
        boundary = uuid.uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        part = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        name = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        before = (
            f'{part}messaging_product"\r\n\r\nwhatsapp\r\n'
            f'{part}file"; filename="{name}"\r\nContent-Type: {content_type}\r\n\r\n'
        ).encode()
        after = f"\r\n--{boundary}--\r\n".encode()
        self.length = len(before) + length + len(after)
        self.pieces = self.read_pieces(before, file, after)

    def __len__(self):
        return self.length

    def read(self, _):
        return next(self.pieces, b"")

    @staticmethod
    def read_pieces(before, file, after):
        yield before
        while piece := file.read(PIECE):
            yield piece
        yield after


def send_to_twilio(asset, sender, to):
    """Gives Twilio the signed URL, from which it gets the file."""
    signed_url = with_retries(lambda: signed(asset))
    response = requests.post(
        f"{TWILIO}/2010-04-01/Accounts/{TWILIO_LOGIN[0]}/Messages.json",
        auth=TWILIO_LOGIN,
        data={"From": sender, "To": to, "MediaUrl": signed_url},
        timeout=TIMEOUT,
    )
    if not response.ok:
        raise Refused(f"Twilio responded {response.status_code}: {response.text[:300]}")
    return response.json()


def signed(asset):
    response = requests.get(
        f"{GATEWAY}/v1/assets/{asset}/content?redirect=1",
        headers=with_key(),
        timeout=TIMEOUT,
        allow_redirects=False,
    )
    if response.status_code != 307:
        check(response)
    return response.headers["Location"]


def work(queue):
    """Stores what webhooks wrote down. A file that can't be stored now stays for the next run."""
    done = []
    for job in sorted(pathlib.Path(queue).glob("*.job")):
        provider, media, name, *_ = job.read_text("utf-8").split("\n")
        try:
            if provider == "twilio":
                done.append(store_from_twilio(media)["id"])
            else:
                done.append(store_from_whatsapp(media, name or None)["id"])
        except Unavailable as error:
            print(f"{job.name} stays: {error}", file=sys.stderr)
            continue
        except Refused as error:
            print(f"{job.name} is refused: {error}", file=sys.stderr)
            if error.customer:
                print(f"tell the customer: {error.customer}")
        job.unlink()
    return done


def with_retries(action):
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return action()
        except (Unavailable, requests.RequestException) as error:
            # Without a response, the file may be stored or not: its key makes a retry safe.
            wait = getattr(error, "wait", PAUSE)
            if attempt == ATTEMPTS:
                raise Unavailable(f"gave up after {attempt} attempts: {error}") from error
            print(f"attempt {attempt}: {error}; the next in {wait} s", file=sys.stderr)
            time.sleep(wait)


def check(response):
    """Raises what the gateway's problem document says."""
    if response.ok:
        return
    problem = {}
    with contextlib.suppress(ValueError):
        problem = response.json()
    if "code" not in problem:
        # Not the gateway's, but that of a proxy in between.
        error = Refused(f"{response.status_code}: {response.text[:300]}")
        if response.status_code == 429 or response.status_code >= 500:
            error = Unavailable(str(error), pause(response))
    else:
        message = f"{problem['code']}: {problem['detail']} (request {problem['requestId']})"
        if problem["retryable"]:
            error = Unavailable(message, pause(response))
        else:
            error = Refused(message)
            error.customer = for_customer(problem)
    raise error


def for_customer(problem):
    limit = problem.get("limit", {})
    if problem["status"] == 413:
        size = limit.get("max_size")
        most = f" Please send at most {size // 100_000 / 10} MB." if size else ""
        return f"This file is too large.{most}"
    if problem["status"] == 415:
        allowed = limit.get("allowed")
        instead = f" Please send one of these: {', '.join(allowed)}." if allowed else ""
        return f"This type of file isn't accepted here.{instead}"
    return None


def pause(response):
    seconds = response.headers.get("Retry-After", "")
    return min(int(seconds), LONGEST_PAUSE) if seconds.isdigit() else PAUSE


def with_key(headers=None):
    key = {"Authorization": f"Bearer {GATEWAY_KEY}"} if GATEWAY_KEY else {}
    return key | (headers or {})


if __name__ == "__main__":
    main()
