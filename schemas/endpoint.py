"""Who is at an end of a call: mails and phone numbers brought to one form, so that they can be compared for equality.

contract.md part 5: a mail case-folded; a phone as digits, without leading 00, then without 86 where a Chinese
mobile number, or an area code and number, remain. Anything else (a protected id, a masked number) is left as it is.
"""

import re
from functools import lru_cache

_REMEMBERED = 4096  # one fold asks for the same few texts again and again, and so do the calls of one agent
_PHONE = re.compile(r"[+]?[0-9][0-9\s().*#/-]*", re.ASCII)
_NOT_DIGIT = re.compile(r"[^0-9]", re.ASCII)
_DOMESTIC = re.compile(
    r"1[0-9]{10}"  # a mobile number
    r"|0[0-9]{9,11}"  # an area code with its trunk zero, and a number
    r"|(?:10|2[0-9]|[3-9][0-9]{2})[0-9]{7,8}",  # an area code without it, and a number
    re.ASCII,
)


@lru_cache(_REMEMBERED)
def normalize_endpoint(text: str) -> str:
    """Bring an EndpointUser, Mail, Phone, Caller or Callee to the form in which equal people are equal texts."""
    stripped = text.strip()
    if "@" in stripped:
        return stripped.casefold()
    if _PHONE.fullmatch(stripped) is None:
        return stripped
    digits = _NOT_DIGIT.sub("", stripped).removeprefix("00")
    national = digits.removeprefix("86")
    return national if _DOMESTIC.fullmatch(national) else digits


def same_person(one: dict[str, object], other: dict[str, object]) -> bool:
    """Say whether two agent objects name the same person: the first of UserId, Mail, Phone that both fill decides.

    If there is none, they fit (contract.md part 5).
    """
    for field in ("UserId", "Mail", "Phone"):
        mine, theirs = one.get(field), other.get(field)
        if isinstance(mine, str) and isinstance(theirs, str):
            return mine == theirs if field == "UserId" else normalize_endpoint(mine) == normalize_endpoint(theirs)
    return True
