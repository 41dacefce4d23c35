"""Python's libraries: see tests/clients/run."""

import asyncio
import json
import sys
import time

library, how, url, path, name, count = sys.argv[1:]
QUERY = {"channel": "sms", "name": name}
FIELDS = {"channel": "sms"}


def pieces():
    """The file without its length."""
    with open(path, "rb") as file:
        while piece := file.read(64 * 1024):
            yield piece


def show(began, body):
    print(f"{(time.perf_counter() - began) * 1000:.1f} {json.dumps(json.loads(body))}", flush=True)


def with_requests():
    import requests

    with requests.Session() as session:
        for _ in range(int(count)):
            with open(path, "rb") as file:
                began = time.perf_counter()
                if how == "form":
                    response = session.post(url, data=FIELDS, files={"file": (name, file)})
                else:
                    response = session.post(
                        url, params=QUERY, data=file if how == "raw" else pieces()
                    )
                show(began, response.text)


def with_httpx():
    import httpx

    with httpx.Client(timeout=60) as client:
        for _ in range(int(count)):
            with open(path, "rb") as file:
                began = time.perf_counter()
                if how == "form":
                    response = client.post(url, data=FIELDS, files={"file": (name, file)})
                else:
                    content = file.read() if how == "raw" else pieces()
                    response = client.post(url, params=QUERY, content=content)
                show(began, response.text)


def with_aiohttp():
    import aiohttp

    async def stream():
        for piece in pieces():
            yield piece

    async def run():
        async with aiohttp.ClientSession() as session:
            for _ in range(int(count)):
                with open(path, "rb") as file:
                    if how == "form":
                        form = aiohttp.FormData(FIELDS)
                        form.add_field("file", file, filename=name)
                        request = {"data": form}
                    else:
                        request = {"params": QUERY, "data": file if how == "raw" else stream()}
                    began = time.perf_counter()
                    async with session.post(url, **request) as response:
                        show(began, await response.text())

    asyncio.run(run())


{"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp}[library]()
