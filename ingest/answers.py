"""What TCCC hears: `{"ErrCode": …, "ErrMsg": …}`, always JSON. ErrCode 0 means stored; anything else, push again."""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

import orjson
from aiohttp import hdrs, web
from aiohttp.http import SERVER_SOFTWARE


class Stored(NamedTuple):
    """The push is stored, as an event or, where the message says what was wrong with it, as a dead letter."""

    message: str = ""

    def response(self) -> web.Response:
        """As aiohttp takes it."""
        return web.Response(body=_said(0, self.message), content_type="application/json")


PLAINLY_STORED = Stored()
"""The one answer that nearly every push gets."""


class TooBusy(NamedTuple):
    """There was no room for the push in time; it is not stored."""

    retry_after_seconds: int = 1

    def response(self) -> web.Response:
        """As aiohttp takes it."""
        retry_after: dict[str, str] = {hdrs.RETRY_AFTER: str(self.retry_after_seconds)}
        return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too busy; push it again", retry_after)


TOO_BUSY = TooBusy()

Answer = Stored | web.Response


def response_of(answer: Answer | TooBusy) -> web.Response:
    """An answer as aiohttp takes it."""
    return answer if isinstance(answer, web.Response) else answer.response()


def refused(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """The push is not stored. The ErrCode is the HTTP status: whichever of the two TCCC goes by asks for a retry."""
    body = _said(status, message)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def wire_of(answer: Answer | TooBusy, *, closes: bool) -> bytes:
    """An answer as aiohttp would write it; `closes` where no further request is read."""
    if not closes and (answer is PLAINLY_STORED or answer is TOO_BUSY):
        return _wire_of_a_usual_one(answer, int(time.time()))
    return _wire_of(response_of(answer), closes=closes)


@lru_cache(2)
def _wire_of_a_usual_one(answer: Stored | TooBusy, _second: int) -> bytes:
    """Made once for each second, for the date in it."""
    return _wire_of(answer.response(), closes=False)


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
