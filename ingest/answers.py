"""What TCCC hears: `{"ErrCode": …, "ErrMsg": …}`, always JSON. ErrCode 0 means stored; anything else, push again."""

import orjson
from aiohttp import web

STORED = orjson.dumps({"ErrCode": 0, "ErrMsg": ""})
"""The one answer that nearly every push gets."""


def stored(message: str = "") -> web.Response:
    """The push is stored, as an event or, where the message says what was wrong with it, as a dead letter."""
    body = orjson.dumps({"ErrCode": 0, "ErrMsg": message}) if message else STORED
    return web.Response(body=body, content_type="application/json")


def refused(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """The push is not stored. The ErrCode is the HTTP status: whichever of the two TCCC goes by asks for a retry."""
    body = orjson.dumps({"ErrCode": status, "ErrMsg": message})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
