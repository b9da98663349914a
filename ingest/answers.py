"""What TCCC hears: `{"ErrCode": …, "ErrMsg": …}`, always JSON. ErrCode 0 means stored; anything else, push again."""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

import orjson
from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE


class Stored(NamedTuple):
    """The push is stored, as an event or, where the message says what was wrong with it, as a dead letter."""

    message: str = ""

    def response(self) -> web.Response:
        """As aiohttp takes it."""
        return web.Response(body=_said(0, self.message), content_type="application/json")


PLAINLY_STORED = Stored()
"""The one answer that nearly every push gets."""

Answer = Stored | web.Response


def response_of(answer: Answer) -> web.Response:
    """An answer as aiohttp takes it."""
    return answer.response() if isinstance(answer, Stored) else answer


def refused(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """The push is not stored. The ErrCode is the HTTP status: whichever of the two TCCC goes by asks for a retry."""
    body = _said(status, message)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def wire_of(answer: Answer, *, closes: bool) -> bytes:
    """An answer as aiohttp would write it; `closes` where no further request is read."""
    if answer is PLAINLY_STORED and not closes:
        return _wire_of_plainly_stored(int(time.time()))
    return _wire_of(response_of(answer), closes=closes)


@lru_cache(1)
def _wire_of_plainly_stored(_second: int) -> bytes:
    """Made once for each second, for the date in it."""
    return _wire_of(PLAINLY_STORED.response(), closes=False)


def _wire_of(response: web.Response, *, closes: bool) -> bytes:
    body = response.body
    assert isinstance(body, bytes)
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += [f"Content-Length: {len(body)}", f"Date: {formatdate(usegmt=True)}", f"Server: {SERVER_SOFTWARE}"]
    lines += ["Connection: close"] if closes else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _said(code: int, message: str) -> bytes:
    return orjson.dumps({"ErrCode": code, "ErrMsg": message})
