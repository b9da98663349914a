"""The receiver as an OpenAPI 3.1 document: every row of contract.md part 6, at `/openapi.json` of the admin port.

The rule: it says what this receiver does as it is set up, and the fuzzing of the door (`tests/faults`) holds it to it.
"""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from ingest.access import Credentials
from ingest.receiver import ReceiverOptions

OPENAPI_PATH = "/openapi.json"

_ANSWER = "#/components/schemas/Answer"
_ALWAYS = {
    "200": "Stored: Kafka acknowledged it, or it is fsynced in the spool. ErrMsg is empty, or says why an authentic"
    " push was of no use and became a dead letter; pushing it again would not help.",
    "400": "Malformed HTTP, or the body did not arrive whole.",
    "401": "Not authentic; the header WWW-Authenticate says what is asked for.",
    "429": "Not authentic, and too often so from one source; right credentials always pass.",
    "408": "The headers or the body did not arrive in time.",
    "413": "Larger than the limit; its beginning and its length are a dead letter.",
    "503": "Could be stored nowhere, or the door is too busy: push it again.",
}


def openapi_route(options: ReceiverOptions, asked: Sequence[Credentials] = ()) -> web.RouteDef:
    """The route for the admin port."""
    document = openapi_document(options, asked)

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(document)

    return web.get(OPENAPI_PATH, answer)


def openapi_document(options: ReceiverOptions, asked: Sequence[Credentials] = ()) -> dict[str, Any]:
    """The document of a receiver with these options, which asks each sender for his credentials."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "callweave receiver",
            "version": "1",
            "description": "Takes the data pushes of Tencent Cloud Contact Center. Every answer is JSON. ErrCode 0"
            " means that the push is durable; any other asks TCCC to push again. Any other path is answered 404.",
        },
        "paths": {options.path: {"post": _push(options, asked)}},
        "components": {
            "schemas": {
                "Answer": {
                    "type": "object",
                    "properties": {"ErrCode": {"type": "integer", "minimum": 0}, "ErrMsg": {"type": "string"}},
                    "required": ["ErrCode", "ErrMsg"],
                    "additionalProperties": False,
                }
            },
            "securitySchemes": _schemes(asked),
        },
    }


def _push(options: ReceiverOptions, asked: Sequence[Credentials]) -> dict[str, Any]:
    return {
        "operationId": "push",
        "summary": "One push",
        "description": "The body is JSON of at most "
        f"{options.body_bytes_max} bytes as sent and as decompressed (gzip and deflate are understood, whatever their"
        " label). Anything else that is authentic is kept whole as a dead letter.",
        "parameters": [
            {
                "name": "action",
                "in": "query",
                "description": "What the push is about: cdr, record, voicemail. Without it the body tells.",
                "schema": {"type": "string"},
            },
            {"name": "version", "in": "query", "description": "Sent by TCCC; not used.", "schema": {"type": "string"}},
            {
                "name": "X-TCCC-PUSH-UUID",
                "in": "header",
                "description": "TCCC's id of one push; its retries repeat it.",
                "schema": {"type": "string"},
            },
        ],
        # No schema: a receiver that refuses what it merely dislikes loses calls.
        "requestBody": {"content": {"application/json": {"schema": {}}}},
        "responses": {
            **{status: _response(status, meaning) for status, meaning in _ALWAYS.items()},
            "404": _response("404", "Another path."),
            "405": _response("405", "Another method; the header Allow names the one."),
            "500": _response("500", "A fault of the receiver; the push was not stored."),
        },
        # All of them are asked for.
        "security": [dict.fromkeys(_schemes([one]), ()) for one in asked if _schemes([one])],
    }


def _response(status: str, meaning: str) -> dict[str, Any]:
    code = {"const": 0} if status == "200" else {"const": int(status)}
    answer = {"allOf": [{"$ref": _ANSWER}, {"properties": {"ErrCode": code}}]}
    response: dict[str, Any] = {"description": meaning, "content": {"application/json": {"schema": answer}}}
    header = {"401": "WWW-Authenticate", "405": "Allow"}.get(status)
    if header is not None:
        response["headers"] = {header: {"schema": {"type": "string"}, "required": True}}
    return response


def _schemes(asked: Sequence[Credentials]) -> dict[str, Any]:
    schemes: dict[str, Any] = {}
    if any(one.auth == "basic" for one in asked):
        schemes["basic"] = {"type": "http", "scheme": "basic"}
    if any(one.auth == "oauth2" for one in asked):
        schemes["bearer"] = {"type": "http", "scheme": "bearer"}
    if any(one.url_token for one in asked):
        schemes["url_token"] = {"type": "apiKey", "in": "query", "name": "token"}
    return schemes
