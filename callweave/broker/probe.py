"""Asks a Kafka broker who it is, with one request over a plain socket: readiness must need neither a client nor a loop.

The rule: any fault is "no answer"; whether that is bad is for the caller to say, who knows how long to go on asking.
"""

import socket
import struct
from dataclasses import dataclass

METADATA_KEY = 3
METADATA_VERSION = 2  # the first that tells the cluster id; Kafka 2.x to 4.x answer it
CORRELATION_ID = 7
CLIENT_ID = b"callweave-probe"
ANSWER_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """What a broker says of its cluster: who it is, and the addresses that clients will be sent to."""

    cluster_id: str | None
    brokers: tuple[tuple[str, int], ...]


def ask_cluster(host: str, port: int, *, timeout_seconds: float = 2.0) -> ClusterAnswer | None:
    """The answer to a Metadata request without topics, or None. A fenced broker answers without naming any broker."""
    try:
        with socket.create_connection((host, port), timeout_seconds) as connection:
            connection.sendall(_framed_request())
            (length,) = struct.unpack(">i", _read_exactly(connection, 4))
            if not 0 < length <= ANSWER_BYTES_MAX:
                return None
            return decode_metadata(_read_exactly(connection, length))
    except (OSError, struct.error, ValueError, IndexError):
        # Nobody there, somebody who hangs up, or somebody who does not speak Kafka.
        return None


def decode_metadata(frame: bytes) -> ClusterAnswer | None:
    """Read a Metadata response, version 2, as far as the cluster id; None if it answers another request."""
    reader = _Reader(frame)
    if reader.int32() != CORRELATION_ID:
        return None
    brokers = []
    for _ in range(reader.int32()):
        reader.int32()  # the node id
        host, port = reader.text(), reader.int32()
        reader.text()  # the rack
        brokers.append((host or "", port))
    return ClusterAnswer(cluster_id=reader.text(), brokers=tuple(brokers))


def _framed_request() -> bytes:
    header = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, CORRELATION_ID, len(CLIENT_ID)) + CLIENT_ID
    no_topics = struct.pack(">i", 0)
    return struct.pack(">i", len(header) + len(no_topics)) + header + no_topics


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            raise ConnectionError("The other side hung up in the middle of its answer.")
        data += chunk
    return data


class _Reader:
    """The two types of Kafka's protocol that the answer is made of."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def int32(self) -> int:
        value: int = struct.unpack_from(">i", self._data, self._at)[0]
        self._at += 4
        return value

    def text(self) -> str | None:
        (length,) = struct.unpack_from(">h", self._data, self._at)
        self._at += 2
        if length < 0:
            return None
        self._at += length
        return self._data[self._at - length : self._at].decode()
