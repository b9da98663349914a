"""JSON as TCCC and Kafka carry it: strict about the grammar, careful with what orjson alone would round or refuse.

`decode` keeps integers of any size and lone surrogates, the last of duplicate keys, and refuses NaN.
`encode` writes compact UTF-8 with sorted keys, so equal values give equal bytes.
"""

import json
from typing import Any, NoReturn

import orjson

DEPTH_MAX = 100
"""Nesting beyond this is refused: no TCCC push comes near, and every warehouse has a limit of its own."""

_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG, _LONG_NEGATIVE = b"0" * 20, b"-" + b"0" * 19
"""What an integer has that orjson may round: it reads -2^63 to 2^64 - 1 exactly. (A version is text of 19 digits.)"""
_LONG_OR_NEARLY = b"0" * 19
"""What either of them holds, and hardly a text but a session document does: one search instead of two."""

_PYTHON_INT_DIGITS_MAX = 4000
_BOM = b"\xef\xbb\xbf"


class NotJsonError(ValueError):
    """The bytes are no JSON text (RFC 8259) that callweave can read. The message says why."""


def decode(raw: bytes) -> Any:
    """Read one JSON text; raise NotJsonError for anything else. A UTF-8 byte order mark is skipped.

    orjson answers first. It rounds integers over 64 bits to floats and refuses escaped lone surrogates, both of
    which are JSON, so texts with long runs of digits and texts it refuses get the standard library's opinion.
    """
    body = raw.removeprefix(_BOM)
    shape = body.translate(_AS_ZEROS)  # with `in`, several times as fast as a regular expression
    if _LONG_OR_NEARLY not in shape or (_LONG not in shape and _LONG_NEGATIVE not in shape):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # the slow reader decides, and words the error
    try:
        return _careful.decode(body.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise NotJsonError(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
    except RecursionError as exc:
        raise NotJsonError("nested too deeply") from exc
    except ValueError as exc:
        raise NotJsonError(f"not JSON: {exc}") from exc


def encode(value: object) -> bytes:
    """Write compact JSON with sorted keys.

    Text must be free of lone surrogates (`schemas.canonical.clean` replaces them).
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # An integer over 64 bits, which orjson does not write.
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _read_integer(digits: str) -> int | str:
    # Python refuses to convert longer ones (a guard against quadratic time); the digits stay readable as text.
    return int(digits) if len(digits) <= _PYTHON_INT_DIGITS_MAX else digits


def _read_float(digits: str) -> float | str:
    number = float(digits)
    # 1e999 is JSON but no float: kept as text rather than as an infinity that no JSON can carry.
    return digits if number in (float("inf"), float("-inf")) else number


_careful = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_read_integer, parse_float=_read_float)
