"""Tells which kind of push a body is: by the action that TCCC named, else by what the body holds (protocol.md g.6).

The rule: a named action is believed, whatever the body looks like; only without one is the body asked.
"""

from collections.abc import Mapping
from typing import Any

from ingest.headers import blanked
from schemas.canonical import canonical
from schemas.events import EventKind
from schemas.wire import RecordPush

_KINDS = {kind.value: kind for kind in EventKind}
_OTHER_KNOWN_ACTIONS = frozenset({"imcdr", "videocdr", "specifiedseat"})
_ADDRESSES = ("RecordURL", "CustomRecordURL")
_TEXT_CHARACTERS_MAX = 100


def kind_of(action: str | None, payload: Mapping[str, Any]) -> EventKind | str:
    """The kind of a push, or a sentence saying why it has none that callweave uses."""
    if action is None:
        return _inferred(payload)
    kind = _KINDS.get(action.casefold())
    return kind if kind is not None else f"unknown action {blanked(action)[:_TEXT_CHARACTERS_MAX]!r}"


def action_label(action: str | None) -> str:
    """The action as a metric label: a closed set, whatever strangers send."""
    if action is None:
        return "none"
    folded = action.casefold()
    return folded if folded in _KINDS or folded in _OTHER_KNOWN_ACTIONS else "other"


ACTION_LABELS = frozenset(_KINDS) | _OTHER_KNOWN_ACTIONS | {"none", "other"}


def _inferred(payload: Mapping[str, Any]) -> EventKind | str:
    if "UserNickName" in payload:
        return "no action, and the body is that of a chat or video session"
    if "ServeParticipants" in payload or ("EndStatusString" in payload and "Caller" in payload):
        return EventKind.CDR
    names = ("RecordId", *_ADDRESSES)
    filled = canonical(RecordPush, {name: payload[name] for name in names if name in payload})
    if "RecordId" in filled and any(name in filled for name in _ADDRESSES):
        return EventKind.RECORD
    if "RecordURL" in filled and "RecordId" not in filled:
        return EventKind.VOICEMAIL
    return "no action, and it cannot be told from the body"
