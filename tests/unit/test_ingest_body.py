import gzip
import tracemalloc
import zlib

import pytest

from ingest.body import Unopened, open_body

TEXT = b'{"SessionId":"s"}'
LIMIT = 1024


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (TEXT, None),
        (TEXT, "identity"),
        (TEXT, "br"),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0), " GZip "),
        (gzip.compress(TEXT, mtime=0), None),
        (gzip.compress(TEXT, mtime=0), "deflate"),
        (gzip.compress(TEXT[:5], mtime=0) + gzip.compress(TEXT[5:], mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0) + b"\x00" * 20, "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "Deflate"),
        (TEXT, "gzip"),
        (TEXT, "deflate"),
    ],
)
def test_a_body_is_opened_whatever_its_label_says(raw: bytes, encoding: str | None) -> None:
    assert open_body(raw, encoding, bytes_max=LIMIT) == TEXT


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, raw_deflate])
def test_a_body_of_the_limit_is_opened_and_one_byte_more_is_not(compress: type) -> None:
    assert open_body(compress(b"x" * LIMIT), "deflate", bytes_max=LIMIT) == b"x" * LIMIT
    outcome = open_body(compress(b"x" * (LIMIT + 1)), "deflate", bytes_max=LIMIT)

    assert outcome == Unopened("decompresses to more than 1024 bytes")


def test_the_limit_counts_all_members_together() -> None:
    raw = gzip.compress(b"x" * 600, mtime=0) + gzip.compress(b"x" * 600, mtime=0)

    assert open_body(raw, "gzip", bytes_max=LIMIT) == Unopened("decompresses to more than 1024 bytes")


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    outcome = open_body(bomb, "gzip", bytes_max=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert outcome == Unopened("decompresses to more than 100000 bytes")
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "raw",
    [
        gzip.compress(TEXT, mtime=0)[:-9],
        gzip.compress(TEXT, mtime=0)[:-8] + b"12345678",
        gzip.compress(TEXT, mtime=0) + b"junk",
        b"\x1f\x8b",
        b"\x1f\x8b junk",
        gzip.compress(b"", mtime=0) * 100,
    ],
)
def test_broken_gzip_is_a_value_that_says_so(raw: bytes) -> None:
    outcome = open_body(raw, "gzip", bytes_max=LIMIT)

    assert isinstance(outcome, Unopened)
    assert outcome.detail.startswith("not gzip: ")
