"""A TCP proxy that can be made sick: it cuts, delays, or stalls half-open. Listens and connects on loopback only."""

import asyncio
import contextlib
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024


@dataclass
class Link:
    """From `port` to `target_port`. Healthy until told otherwise; `heal` ends whatever is wrong."""

    port: int
    target_port: int
    delay_seconds: float = 0.0
    _server: asyncio.Server | None = None
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _connections: set[asyncio.StreamWriter] = field(default_factory=set)
    _pumps: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> None:
        """Listen, and let everything pass."""
        self._flows.set()
        await self._listen()

    async def cut(self) -> None:
        """Reset what is connected, refuse what comes."""
        await self._stop_listening()
        for writer in list(self._connections):
            writer.transport.abort()

    def stall(self) -> None:
        """Accept connections and pass nothing: what a firewall does that forgot a connection."""
        self._flows.clear()

    async def heal(self) -> None:
        """Listen again, pass everything, at once."""
        self.delay_seconds = 0.0
        self._flows.set()
        await self._listen()

    async def close(self) -> None:
        """End."""
        await self.cut()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, backlog=256)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self._flows.wait()
            there_reader, there_writer = await asyncio.open_connection(HOST, self.target_port)
        except OSError:
            writer.transport.abort()
            self._connections.discard(writer)
            return
        self._connections.add(there_writer)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            pump = asyncio.create_task(self._pump(source, sink, (writer, there_writer)))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, both: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # one end is gone, and so is the connection
        finally:
            for writer in both:
                self._connections.discard(writer)
                with contextlib.suppress(OSError, RuntimeError):
                    writer.close()
