"""What is shown of a personal value to those who may not see it: a number's last digits, nothing of audio and texts.

The rule: which columns are personal, and how, stands in `schemas.columns`; the page keeps no list of its own.
"""

import re
from typing import Any, Final

from schemas.columns import CHILDREN, DEAD_LETTERS, SESSIONS
from schemas.models import Privacy

HIDDEN: Final = "•••"
_DIGIT: Final = re.compile(r"\d")
_LONG: Final = 8
_SHORT: Final = 5


def _kinds() -> dict[str, Privacy]:
    kinds: dict[str, Privacy] = {}
    for table in (SESSIONS, *CHILDREN, DEAD_LETTERS):
        kinds |= {column.name: column.privacy for column in table.columns if column.privacy is not Privacy.NONE}
    # Who works here is what supervisors look by; the people who call are not.
    return {name: kind for name, kind in kinds.items() if name not in ("agent_mail", "agent_name")}


PERSONAL: Final = _kinds()
"""Column to what it holds."""


def personal_of(columns: tuple[str, ...]) -> dict[str, Privacy]:
    """Those of the columns that are personal."""
    return {name: PERSONAL[name] for name in columns if name in PERSONAL}


def shown(cell: Any, kind: Privacy) -> Any:
    """What somebody who may not see it sees."""
    if cell is None or kind in (Privacy.NONE, Privacy.MAIL, Privacy.NAME):
        return cell
    match kind:
        case Privacy.PHONE | Privacy.ENDPOINT:
            return masked_number(str(cell))
        case _:
            return HIDDEN


def masked_number(text: str) -> str:
    """The last four digits of a number; a mail, an id or a token of an erased number as it is.

    What follows a `~` is an endpoint too: the id of one of several recordings with one id.
    """
    head, tilde, endpoint = text.rpartition("~")
    if tilde:
        return f"{head}~{masked_number(endpoint)}"
    digits = _DIGIT.findall(text)
    if "@" in text or len(digits) < _SHORT or any(character.isalpha() for character in text):
        return text
    keep = 4 if len(digits) >= _LONG else 2
    return f"••••{''.join(digits[-keep:])}"
