"""A load of HTTP POSTs over raw sockets: little work on this side, so that the other side is what is measured."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load: answers a second, and how long they took."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


async def press(host: str, port: int, requests: list[bytes], *, connections: int, seconds: float) -> Load:
    """Send requests over and over on so many connections, one at a time on each."""
    deadline = time.perf_counter() + seconds
    latencies: list[float] = []
    failures = 0

    async def one(first: int) -> None:
        nonlocal failures
        reader, writer = await asyncio.open_connection(host, port)
        at = first
        while (begun := time.perf_counter()) < deadline:
            writer.write(requests[at % len(requests)])
            at += connections
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
            failures += b'"ErrCode":0' not in body
            latencies.append(time.perf_counter() - begun)
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one(first) for first in range(connections)))
    elapsed = time.perf_counter() - begun
    latencies.sort()
    return Load(
        per_second=len(latencies) / elapsed,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[int(len(latencies) * 0.99)],
        failures=failures,
    )


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """One HTTP/1.1 POST, ready to send."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
