"""A person's number or mail as a keyed hash, in whatever spelling and inside whatever text it stands.

The rule: the hash is HMAC-SHA256 under a secret key, so nobody finds the number to a hash by trying all numbers without
the key; equal people are equal hashes (`schemas.endpoint`, and a trunk zero more or less is the same number).
"""

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import unquote

from schemas.endpoint import normalize_endpoint

KEY_CHARACTERS_MIN: Final = 32
"""Of a key as a person writes it; 32 random hexadecimal digits are 128 bits."""
DIGITS_MIN: Final = 7
"""Fewer digits are no person: an extension, a service line, a part of any other number."""
INNER_DIGITS_MIN: Final = 10
"""So long a number is also found at either end of a longer run of digits; a shorter one would be found by chance."""

ERASED: Final = "erased:"
MASKED: Final = "tel:"
_LETTERS: Final = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_TOKEN_LETTERS: Final = 20
_TOKEN: Final = re.compile(r"(?:erased|tel:[a-p]{4}):[a-p]{20}")

_SPAN: Final = re.compile(r"[+]?[0-9](?:[\s().*#/+-]{0,3}[0-9])*")
_MAIL: Final = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
_PREFIXES: Final = frozenset({"", "0", "00", "86", "0086", "860", "00860"})
_WHOLE: Final = re.compile(r"[+]?[0-9][0-9\s().*#/-]*", re.ASCII)


class Found(NamedTuple):
    """A person in a text."""

    start: int
    end: int
    person: str


@dataclass(frozen=True, slots=True)
class PersonKey:
    """The secret under which people are hashed. Its `id` says which it is, and nothing about it."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """What tells this key from another: four letters."""
        return self._hash("key", "id")[:8].encode().translate(_LETTERS).decode()[:4]

    def number(self, identity: str) -> str:
        """The hash of a number, given as `number_identity` has it."""
        return self._hash("number", identity)

    def mail(self, mail: str) -> str:
        """The hash of a mail address."""
        return self._hash("mail", mail.casefold())

    def _hash(self, kind: str, text: str) -> str:
        return hmac.digest(self.secret, f"{kind}:{text}".encode("utf-8", "replace"), hashlib.sha256)[:16].hex()


def number_identity(text: str) -> str | None:
    """The digits that are one person's, whatever the spelling; None where the text is no phone number."""
    ascii_text = _plain(text).strip()
    if _WHOLE.fullmatch(ascii_text) is None:
        return None
    digits = normalize_endpoint(ascii_text)
    identity = digits.lstrip("0") if digits.isdigit() else ""
    return identity if len(identity) >= DIGITS_MIN else None


def is_token(text: str) -> bool:
    """Whether a text is one of our tokens, and so nobody's number."""
    return _TOKEN.fullmatch(text) is not None


def erased_token(person: str | None) -> str:
    """What stands for an erased person: always the same for one, and clearly no number."""
    return f"{ERASED}{_letters(person or '0' * 32)}"


def masked_token(key: PersonKey, person: str) -> str:
    """What stands for a masked number; it names the key, so that a warehouse knows what it was masked with."""
    return f"{MASKED}{key.id}:{_letters(person)}"


def numbers_in(text: str, lengths: Collection[int]) -> Iterator[tuple[int, int, str]]:
    """Every place of a text that may be a number of so many digits: (start, end, identity)."""
    shortest = min(lengths, default=len(text) + 1)
    for span in _SPAN.finditer(text):
        start = span.start()
        spelled = span.group()
        if len(spelled) < shortest:
            continue
        places = [start + at for at, character in enumerate(spelled) if character.isdecimal()]
        digits = "".join(filter(str.isdecimal, spelled))
        for length in lengths:
            for first in range(len(digits) - length + 1):
                if digits[first] == "0":
                    continue  # an identity begins with no zero
                before, after = places[first], places[first + length - 1] + 1
                is_prefixed = digits[:first] in _PREFIXES
                begins = is_prefixed or not text[before - 1].isdecimal()
                ends = not text[after : after + 1].isdecimal()
                if (begins and ends) or (length >= INNER_DIGITS_MIN and (begins or ends)):
                    yield (start if is_prefixed else before), after, digits[first : first + length]


def mails_in(text: str) -> Iterator[tuple[int, int, str]]:
    """Every mail address of a text: (start, end, address)."""
    if "@" in text:
        for match in _MAIL.finditer(text):
            yield match.start(), match.end(), match.group()


def readings_of(text: str) -> Iterator[str]:
    """What else a text may say: percent-decoded, with JSON's escapes read, with digits of other scripts as ASCII."""
    if "%" in text:
        yield unquote(text)
    if "\\u" in text:
        yield _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    if not text.isascii():
        yield _plain(text)


_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


def _plain(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _letters(person: str) -> str:
    return person[:_TOKEN_LETTERS].encode().translate(_LETTERS).decode()
