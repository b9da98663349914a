"""What idle connections cost the door in memory, and whether it answers: `python -m bench.connections [COUNT]`.

Each connection has made one request, as a proxy's have; one that never says anything is closed after 15 seconds.
"""

import asyncio
import os
import resource
import sys
import tempfile
from pathlib import Path

import uvloop

from bench.__main__ import new_topics, process, until_open
from bench.load import post, press
from bench.work import bodies
from callweave.broker.local import free_port

AT_ONCE = 200
_FILES_BESIDES = 256
_GREETING = b"POST /none HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n"  # answered 404, and kept open


def main(count: int) -> int:
    files = count + _FILES_BESIDES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        sys.exit(f"{count} connections need {files} open files, and {hard} are allowed: raise ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="callweave-connections-") as folder:
        environment = {
            **os.environ,
            "CALLWEAVE_KAFKA__TOPIC_PREFIX": new_topics(),
            "CALLWEAVE_RECEIVER__PORT": str(port),
            "CALLWEAVE_RECEIVER__CONNECTIONS_MAX": str(files),
            "CALLWEAVE_RECEIVER__SPOOL_WAIT_SECONDS_MAX": "5",
            "CALLWEAVE_ADMIN__PORT": "0",
            "CALLWEAVE_DATA_DIR": folder,
        }
        with process([sys.executable, "-m", "callweave", "receiver"], environment, None) as child:
            before, after, failures = uvloop.run(held(port, child.pid, count))
    each = (after - before) / count
    print(f"{count} idle connections: {before / 1e6:.0f} -> {after / 1e6:.0f} MB, {each / 1000:.1f} kB each;", end=" ")
    print(f"meanwhile {failures} pushes failed")
    return 1 if failures else 0


async def held(port: int, pid: int, count: int) -> tuple[int, int, int]:
    """The door's memory without and with so many idle connections, and how many pushes failed while they were open."""
    await until_open(port)
    requests = [post(f"/tccc/push?action={action}", body, {}) for action, body in bodies(100)]
    await press("127.0.0.1", port, requests, connections=8, seconds=2.0)
    before = rss_bytes(pid)
    writers: list[asyncio.StreamWriter] = []
    for _ in range(0, count, AT_ONCE):
        writers += await asyncio.gather(*(greeted(port) for _ in range(min(AT_ONCE, count - len(writers)))))
    after = rss_bytes(pid)
    load = await press("127.0.0.1", port, requests, connections=8, seconds=2.0)
    for writer in writers:
        writer.close()
    return before, after, load.failures


async def greeted(port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(_GREETING)
    answer = await reader.readuntil(b"}")
    assert b" 404 " in answer, "a connection was refused"
    return writer


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
