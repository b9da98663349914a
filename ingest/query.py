"""Reads the query of a push address leniently (protocol.md g.6): how TCCC appends to an address is not documented.

The rule: it never raises and never guesses; what cannot be read is left out. The action goes to `ingest.action`,
the tokens go to `ingest.auth`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

TOKENS_MAX = 16
"""Readings of `token` that are tried; an address has one, in at most a few spellings."""

_DISTINCT_QUERIES = 256  # one address has a handful; a stranger who varies his cannot grow the cache
_SEPARATORS = re.compile("[&;?]")
_SEPARATORS_STRICT = re.compile("[&?]")


@dataclass(frozen=True, slots=True)
class PushQuery:
    """What the query said: the action, if any was filled, and every reading of a token."""

    action: str | None
    tokens: tuple[str, ...]


@lru_cache(_DISTINCT_QUERIES)
def read_query(raw: str) -> PushQuery:
    """Read a query as it stood in the request line, without its first question mark.

    A second `?` separates like `&`, so does `;`. Of several actions the last filled one counts, because TCCC appends
    its own; any of several tokens may be the right one.
    """
    action = None
    for name, value in _pairs(raw, _SEPARATORS):
        if name == "action":
            action = unquote(value).strip() or action
    tokens = dict.fromkeys(_token_readings(raw))
    return PushQuery(action, tuple(tokens)[:TOKENS_MAX])


def _pairs(raw: str, separators: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    for part in separators.split(raw):
        name, _, value = part.partition("=")
        yield unquote(name).strip().casefold(), value


def _token_readings(raw: str) -> Iterator[str]:
    """A token may hold `;` or `+`, sent as they are or percent-encoded: each reading is a candidate, none a guess."""
    for separators in (_SEPARATORS, _SEPARATORS_STRICT):
        for name, value in _pairs(raw, separators):
            if name == "token":
                yield unquote(value)
                yield unquote(value.replace("+", " "))
