"""Masks what a push says of people, byte for byte around it: what remains shows how TCCC writes, not about whom.

The rule: what is not known to be harmless is masked. The same number, mail or name becomes the same mask under one key,
whatever prefix it was written with, so that a masked record can still be studied.
"""

import hashlib
import hmac
import json
import re
from urllib.parse import urlsplit

_HARMLESS = frozenset(
    name.casefold()
    for name in (
        *("SdkAppId", "SessionId", "RecordId", "Direction", "CallType", "Duration", "IVRDuration", "HungUpSide"),
        *("StartTimestamp", "QueuedTimestamp", "RingTimestamp", "AcceptTimestamp", "EndedTimestamp", "Timestamp"),
        *("EndStatusString", "Type", "TransferFromType", "TransferToType", "Sequence", "SkillGroupPriority"),
        *("SkillGroupId", "SkillGroupName", "SkillGroupNameList", "QueuedSkillGroupId", "QueuedSkillGroupName"),
    )
)
_NAME_CHARACTERS_MAX = 64  # a longer name of a member is no name
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+\-]*)', re.DOTALL)
_PUNCTUATION = re.compile(r"[\s{}\[\],:]+|true|false|null|NaN|\xef\xbb\xbf")
_LETTER = re.compile(r"[^\W\d_]|[\x80-\xff]")
_DIGIT = re.compile(r"\d")
_NUMBER_LIKE = re.compile(r"[\d+*()\s.-]+")
_COUNTRY = re.compile(r"(?:\+|00)86|86(?=1\d{10}$)")
_LONG_DIGITS = re.compile(r"\d{5,}")
_AUDIO = re.compile(r"\.[a-zA-Z0-9]{2,4}$")
_SHORT_MAX = 2  # a flag or one pressed key
_LONG_NUMBER = 7


class Masks:
    """Masks under one key; without the key nobody finds the number to a mask by trying all numbers."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def masked(self, body: bytes) -> bytes:
        """A body with everything personal masked. It is as much JSON as it was, and in the same spelling."""
        text = body.decode("latin-1")
        parts: list[str] = []
        name = ""
        end = 0
        for match in _TOKEN.finditer(text):
            parts.append(_blanked(text[end : match.start()]))
            end = match.end()
            string, colon, number = match.groups()
            if number is not None:
                parts.append(self._number(name, number))
            elif colon is not None:
                name = _unquoted(string) or ""
                parts.append(self._name(string, name) + colon)
            else:
                parts.append(self._string(name, string))
        parts.append(_blanked(text[end:]))
        return "".join(parts).encode("latin-1")

    def text(self, text: str) -> str:
        """One text that is somebody's, or may be."""
        if len(text) <= _SHORT_MAX:
            return text
        if "://" in text:
            return self._address(text)
        if "@" in text:
            return f"m{self._hex(text.casefold())}@masked.example"
        if _NUMBER_LIKE.fullmatch(text):
            return self._digits(text)
        return f"text-{self._hex(text)}"

    def _name(self, quoted: str, name: str) -> str:
        harmless = len(name) <= _NAME_CHARACTERS_MAX and "@" not in name and not _LONG_DIGITS.search(name)
        return quoted if harmless else json.dumps(self.text(name))

    def _string(self, name: str, quoted: str) -> str:
        value = _unquoted(quoted)
        if value is None:
            return '"' + _blanked(quoted[1:-1]) + '"'
        if _is_harmless(name, value):
            return quoted
        masked = self.text(value)
        return quoted if masked == value else json.dumps(masked)

    def _number(self, name: str, number: str) -> str:
        digits = sum(character.isdecimal() for character in number)
        if digits < _LONG_NUMBER or name.casefold() in _HARMLESS:
            return number
        return self._digits(number)

    def _digits(self, text: str) -> str:
        """Other digits in the same form: prefix and first digit stay, and so does everything that is no digit."""
        prefix = match.group() if (match := _COUNTRY.match(text)) else ""
        rest = text[len(prefix) :]
        digits = "".join(_DIGIT.findall(rest))
        stream = str(int(self._hash(digits).hex(), 16))
        others = iter(stream[: len(digits)].ljust(len(digits), "0"))
        seen = 0
        parts = [prefix]
        for character in rest:
            if not character.isdecimal():
                parts.append(character)
                continue
            seen += 1
            other = next(others)
            parts.append(character if seen == 1 else other)
        return "".join(parts)

    def _address(self, text: str) -> str:
        try:
            split = urlsplit(text)
            host = split.hostname or ""
        except ValueError:
            return f"text-{self._hex(text)}"
        kind = match.group() if (match := _AUDIO.search(split.path)) else ""
        signature = "?(removed)" if split.query else ""
        return f"{split.scheme}://{host}/{self._hex(split.path)}{kind}{signature}"

    def _hex(self, text: str) -> str:
        return self._hash(text)[:6].hex()

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)


def _is_harmless(name: str, value: str) -> bool:
    return name.casefold() in _HARMLESS and "@" not in value and "://" not in value


def _unquoted(quoted: str) -> str | None:
    """What a string says; None where its bytes are no UTF-8 or its escapes are none of JSON's."""
    try:
        text = json.loads(quoted.encode("latin-1").decode("utf-8"), strict=False)
    except ValueError:
        return None
    return text if isinstance(text, str) else None


def _blanked(gap: str) -> str:
    """What stands between the tokens of a JSON text stays; of anything else only its shape does."""
    rest = _PUNCTUATION.sub("", gap)
    if not rest:
        return gap
    return _DIGIT.sub("0", _LETTER.sub("x", gap))
