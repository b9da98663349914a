"""Numbers as tokens, on their way into a warehouse: the same number, in any spelling, is the same token.

The rule: a column that names people by number holds tokens only, and so does what may hold anything; mails, names and
the addresses of recordings stay as they are. Which column is which stands in `schemas.columns`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.columns import CHILDREN, SESSIONS, Table
from schemas.dead_letter import DeadLetter
from schemas.models import Privacy
from schemas.person import DIGITS_MIN, PersonKey, masked_token, number_identity

_NUMBER: Final = re.compile(rf"[+]?[0-9](?:[\s().*#/+-]{{0,3}}[0-9]){{{DIGITS_MIN - 1},}}")
_NAMING: Final = frozenset({Privacy.PHONE, Privacy.ENDPOINT})
_INTEGER_DIGITS_MIN: Final = 10
_UNIX_SECONDS: Final = range(10**9, 3 * 10**9)
_UNIX_MILLISECONDS: Final = range(10**12, 3 * 10**12)
"""Of numbers that are no text, in fields that nobody documented: these are times."""


@dataclass(frozen=True, slots=True)
class NumberMasks:
    """Masks under one key."""

    key: PersonKey

    def document(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A session document with its numbers masked. Doing it twice equals doing it once."""
        masked = {**body, **self._row(SESSIONS, body)}
        for child in CHILDREN:
            rows = body.get(child.name)
            if isinstance(rows, list):
                masked[child.name] = [
                    {**row, **self._row(child, row)} if isinstance(row, Mapping) else row for row in rows
                ]
        return masked

    def letter(self, letter: DeadLetter) -> DeadLetter:
        """A letter without its body, which may spell a number in any way; Kafka has the letter whole."""
        headers = {name: self.text(value) for name, value in letter.headers.items()}
        return letter.model_copy(update={"detail": self.text(letter.detail), "headers": headers, "raw_base64": ""})

    def value(self, text: str) -> str:
        """A text of a column that names people."""
        identity = number_identity(text)
        if identity is not None:
            return masked_token(self.key, self.key.number(identity))
        base, tilde, endpoint = text.rpartition("~")  # `<RecordId>~<endpoint>`
        if tilde and number_identity(endpoint) is not None:
            return f"{base}~{self.value(endpoint)}"
        return self.text(text)

    def text(self, text: str) -> str:
        """A text that may hold anything: whatever may be a number is masked."""
        return _NUMBER.sub(lambda match: self._token(match.group()), text)

    def _token(self, spelled: str) -> str:
        digits = "".join(filter(str.isdecimal, spelled))
        return masked_token(self.key, self.key.number(number_identity(spelled) or digits))

    def _row(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        masked: dict[str, Any] = {}
        for column in table.columns:
            value = row.get(column.name)
            if column.privacy in _NAMING and isinstance(value, str):
                masked[column.name] = self.value(value)
            elif column.privacy is Privacy.FREE_TEXT and value is not None:
                masked[column.name] = self._anything(value)
        return masked

    def _anything(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(name): self._anything(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self._anything(item) for item in value]
        if isinstance(value, int) and not isinstance(value, bool) and value >= 10 ** (_INTEGER_DIGITS_MIN - 1):
            return value if value in _UNIX_SECONDS or value in _UNIX_MILLISECONDS else self._token(str(value))
        return value
