"""A session document -> the files that it speaks of. Pure.

The rule: whatever was received is wanted; what a CDR only names is not here yet, and comes as a document of its own.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from schemas import jsontext
from schemas.archive import FileKind
from schemas.keyed import KEY_CHARACTERS_MAX
from schemas.session import Recording, SessionDocument, Voicemail

FileKey = tuple[FileKind, str]
"""Which file of its session: the kind, and the id of the row in `recordings` or `voicemails`."""

_API_VOICEMAIL: Final = "api:"


@dataclass(frozen=True, slots=True)
class WantedFile:
    """One file, and where it may be had. No address: only TCCC's API can tell one."""

    key: FileKey
    addresses: dict[str, str]
    """As pushed, by the column; the one to try first comes first."""
    names: tuple[str, ...]
    generated_at: datetime | None

    @property
    def address_digest(self) -> str:
        """Stays when the row gets another id: of the address without its query, where tokens are."""
        if not self.addresses:
            return ""
        parts = urlsplit(next(iter(self.addresses.values())))
        return hashlib.blake2b(f"{parts.netloc}{parts.path}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class WantedSession:
    """One session, and every file that it has."""

    sdk_app_id: int
    session_id: str
    files: dict[FileKey, WantedFile]
    is_erased: bool = False
    """A person of it was erased: nothing that was said in it is kept."""


class NotASessionError(ValueError):
    """A value of the topic `sessions` that is no document. The loader writes the letter about it."""


def wanted_session(value: bytes) -> WantedSession:
    """Read a record's value. Raises NotASessionError."""
    try:
        told: Any = jsontext.decode(value)
        document = SessionDocument.of_public(told["session"])
    except (jsontext.NotJsonError, ValidationError, KeyError, TypeError, ValueError) as exc:
        raise NotASessionError(f"no session document ({type(exc).__name__})") from None
    files = [
        *(_recording(one) for one in document.recordings if one.received_at is not None),
        *(_voicemail(one) for one in document.voicemails if one.received_at is not None),
    ]
    is_erased = told["session"].get("erasure") is not None
    # An id that no key of a warehouse holds: its row is a dead letter of the loader's.
    usable = {file.key: file for file in files if len(file.key[1]) <= KEY_CHARACTERS_MAX}
    return WantedSession(document.sdk_app_id, document.session_id, usable, is_erased)


def _recording(one: Recording) -> WantedFile:
    told = {"url": one.url, "custom_url": one.custom_url}
    addresses = {name: address for name, address in told.items() if address}
    names = tuple(dict.fromkeys(name for name in (one.pushed_recording_id, one.recording_id) if name))
    return WantedFile(("recording", one.recording_id), addresses, names, one.generated_at)


def _voicemail(one: Voicemail) -> WantedFile:
    addresses = {"url": one.url} if one.url else {}
    names = (one.voicemail_id,) if one.voicemail_id.startswith(_API_VOICEMAIL) else ()
    return WantedFile(("voicemail", one.voicemail_id), addresses, names, one.generated_at)
