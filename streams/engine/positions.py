"""How far the state goes: the next offset of each source partition, kept in the changelog batch and in the store.

The rule: a position is written only together with everything that the records before it brought, so a worker that seeks
to it has lost nothing, whatever was committed (ADR 0010). Consumers of `tccc.sessions` never look at it.
"""

from collections.abc import Iterable, Mapping

from faust.types import TP

from schemas import jsontext

HEADER = "callweave-read"
"""On the last record of each batch: `{"tccc.cdr": 57, …}`, the positions of the sources with the record's partition."""

_STORE_KEY = b"\0callweave-read:%d"

Positions = Mapping[str, int]
"""By source topic; all of one partition number, as sources and changelog are partitioned alike."""


class NotPositionsError(ValueError):
    """Bytes that say no positions."""


def store_key(partition: int) -> bytes:
    """Where the store keeps a partition's positions; no session key begins with NUL."""
    return _STORE_KEY % partition


def is_session_key(key: bytes) -> bool:
    """Whether a key of the store is a session's (it begins with its SdkAppId), and not one of the engine's own."""
    return key[:1].isdigit()


def encode_positions(positions: Positions) -> bytes:
    """The text of a header and of the store."""
    return jsontext.encode(dict(sorted(positions.items())))


def decode_positions(raw: bytes) -> dict[str, int]:
    """See encode_positions."""
    try:
        decoded = jsontext.decode(raw)
    except jsontext.NotJsonError as exc:
        raise NotPositionsError(str(exc)) from exc
    if not isinstance(decoded, dict):
        raise NotPositionsError("not an object")
    for topic, offset in decoded.items():
        if type(offset) is not int or offset < 0:
            raise NotPositionsError(f"{offset!r} is no offset of {topic}")
    return decoded


def positions_of(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> bytes | None:
    """What a changelog record's header says; most records have none."""
    return None if not headers else dict(headers).get(HEADER)


def start_offset(position: int | None, *, committed: int | None, earliest: int, end: int) -> tuple[int, str | None]:
    """Where to read a source partition from, and what is wrong, if anything is.

    A position counts only where this group has a commit too: Kafka forgets commits together with their topic, and a
    changelog that came from another cluster finds none, so a topic that was made anew is read from its beginning.
    Reading again costs repeats, which absorb to nothing; skipping would lose.
    """
    if position is None:
        return earliest, None
    if committed is None:
        return earliest, "nothing is committed: the topic may be new" if position > earliest else None
    if position > end:
        return earliest, "the state is ahead of the topic: it was made anew, or the broker lost its end"
    if position < earliest:
        return earliest, "records were deleted before they were read"
    return position, None


def by_partition(offsets: Mapping[TP, int], partitions: Iterable[int]) -> dict[int, dict[str, int]]:
    """Positions grouped as they are written."""
    wanted = set(partitions)
    grouped: dict[int, dict[str, int]] = {partition: {} for partition in wanted}
    for tp, offset in offsets.items():
        if tp.partition in wanted:
            grouped[tp.partition][tp.topic] = offset
    return grouped
