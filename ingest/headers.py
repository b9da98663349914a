"""Reads request headers, and says which of them a dead letter may keep: none that carries a credential."""

import re
from collections.abc import Iterable, Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from schemas.events import PUSH_ID_HEADER

PUSH_UUID = PUSH_ID_HEADER
CONTENT_ENCODING = "Content-Encoding"

_CREDENTIAL_NAMES = re.compile("authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_TOKEN_PARAMETER = re.compile(r"(\btoken(?:=|%3d))[^&;?#\s\"',]*", re.IGNORECASE)
_REMOVED = r"\1(removed)"


def header_of(headers: Mapping[str, str], name: str) -> str | None:
    """One header's value, in any case of its name (the first, where it is repeated)."""
    exact = headers.get(name)
    if exact is not None or isinstance(headers, (CIMultiDict, CIMultiDictProxy)):  # whose `get` asked for any case
        return exact
    folded = name.casefold()
    return next((value for key, value in headers.items() if key.casefold() == folded), None)


def without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as a letter keeps them; values of a repeated one are joined as HTTP allows.

    Proxies copy the address into headers of their own, so a `token=` is blanked wherever it stands.
    """
    kept: dict[str, str] = {}
    pairs: Iterable[tuple[str, str]] = headers.items()
    for name, value in pairs:
        if _CREDENTIAL_NAMES.search(name) is None:
            kept[name] = f"{kept[name]}, {blanked(value)}" if name in kept else blanked(value)
    return kept


def blanked(text: str) -> str:
    """A text with every `token=…` in it blanked."""
    return _TOKEN_PARAMETER.sub(_REMOVED, text)
