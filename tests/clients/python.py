"""Uploads one file with a Python library: python.py LIBRARY form|raw|stream URL FILE. Prints the answer's body."""

import asyncio
import sys

library, how, url, path = sys.argv[1:]
QUERY = {"channel": "sms", "name": "file.bin"}


def pieces():
    """The file without its length."""
    with open(path, "rb") as file:
        while piece := file.read(64 * 1024):
            yield piece


def with_requests():
    import requests

    with open(path, "rb") as file:
        if how == "form":
            return requests.post(url, data=QUERY, files={"file": file}).text
        return requests.post(url, params=QUERY, data=file if how == "raw" else pieces()).text


def with_httpx():
    import httpx

    with open(path, "rb") as file:
        if how == "form":
            return httpx.post(url, data=QUERY, files={"file": file}, timeout=60).text
        content = file.read() if how == "raw" else pieces()
        return httpx.post(url, params=QUERY, content=content, timeout=60).text


def with_aiohttp():
    import aiohttp

    async def post(**request):
        async with aiohttp.ClientSession() as session, session.post(url, **request) as response:
            return await response.text()

    async def stream():
        for piece in pieces():
            yield piece

    with open(path, "rb") as file:
        if how == "form":
            form = aiohttp.FormData(QUERY)
            form.add_field("file", file, filename="file.bin")
            return asyncio.run(post(data=form))
        return asyncio.run(post(params=QUERY, data=file if how == "raw" else stream()))


print({"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp}[library]())
