"""A host of recordings that misbehaves on order: what TCCC's storage, a proxy or a bad line may do to a download."""

import asyncio
import io
import threading
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web


def a_wav(seconds: float = 1.0, *, rate: int = 8000, seed: int = 0) -> bytes:
    """A recording: silence with a mark in it, so that two of them differ."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(seed.to_bytes(8, "little") + bytes(int(seconds * rate) * 2 - 8))
    return file.getvalue()


@dataclass(slots=True)
class Host:
    """What is served under which path; `trouble` names what goes wrong there, and how often."""

    files: dict[str, bytes] = field(default_factory=dict)
    trouble: dict[str, list[str]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests[path] += 1
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            return await self._answer(request, path)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        trouble = self.trouble.get(path) or [""]
        what = trouble.pop(0)
        body = self.files.get(path)
        if what.startswith("status "):
            return web.Response(status=int(what.split()[1]), headers={"Retry-After": "7"})
        if what.startswith("to "):
            return web.Response(status=302, headers={"Location": what.removeprefix("to ")})
        if what == "page":
            return web.Response(body=b"<html>log in first</html>" * 50, content_type="audio/mpeg")
        return web.Response(status=404) if body is None else await self._send(request, body, what)

    async def _send(self, request: web.Request, body: bytes, what: str) -> web.StreamResponse:
        tag = f'"{hash(body)}"'
        start = 0
        status = 200
        if "Range" in request.headers:
            self.ranges.append(request.headers["Range"])
            if request.headers.get("If-Range") == tag:
                start, status = int(request.headers["Range"].removeprefix("bytes=").rstrip("-")), 206
        answer = web.StreamResponse(status=status, headers={"ETag": tag, "Content-Length": str(len(body) - start)})
        if status == 206:
            answer.headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        if what == "wrong checksum":
            answer.headers["Content-MD5"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        await answer.prepare(request)
        part = body[start : start + len(body) // 2] if what == "cut" else body[start:]
        await answer.write(part)
        if what == "slow":
            await asyncio.sleep(0.3)
        if what == "cut":
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return answer


@contextmanager
def recordings_host() -> Iterator[Host]:
    """One on this machine, in a thread of its own."""
    host = Host()
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", host.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield host
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
