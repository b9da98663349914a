"""Match the recordings that came to those that the CDR names: one-to-one, recomputed from all reports in a fixed order.

contract.md part 5, `recordings`. Exact ids first (among several endpoints, by endpoint); then, by endpoint, what is
left on both sides. Where root and leg carry one id and several endpoints came for it, each of them is expected. What
the API says is about a name, and meets what was pushed last: it never makes a second row of one recording.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from schemas import jsontext
from schemas.canonical import Reading, read
from schemas.endpoint import normalize_endpoint
from schemas.events import ApiFact, Source
from schemas.models import instant_of_ms, instant_text_of_ms
from schemas.wire import RecordPush
from streams.core.merge import merge_fields
from streams.core.state import Report

_SOURCE_TEXTS = {
    frozenset[Source](): None,
    frozenset({Source.PUSH}): "push",
    frozenset({Source.API}): "api",
    frozenset({Source.PUSH, Source.API}): "push+api",
}

Row = dict[str, Any]
"""A row of `recordings` as JSON values; `schemas.session.Recording` describes it."""

_RECORDING_ID = itemgetter("recording_id")
_NEVER = 2**63
"""Later than any time in milliseconds."""


class Carrier(NamedTuple):
    """A place in the CDR that names a recording: the root (leg_sequence None) or a leg; times in milliseconds."""

    leg_sequence: int | None
    people: frozenset[str]
    ended_ms: int | None

    @property
    def side(self) -> Literal["customer", "agent"]:
        """Whose side the recording is of."""
        return "customer" if self.leg_sequence is None else "agent"

    @property
    def order(self) -> tuple[int, int]:
        """(leg EndedTimestamp, Sequence); the root comes before the legs that ended with it."""
        return _or_never(self.ended_ms), -1 if self.leg_sequence is None else self.leg_sequence


@dataclass(slots=True)
class Track:
    """What came of one recording: all reports with one (RecordId, normalized EndpointUser)."""

    record_id: str
    endpoint: str
    digest: str = ""
    reading: Reading = field(default_factory=Reading)
    received_ms: int = 0
    sources: set[Source] = field(default_factory=set)

    @property
    def order(self) -> tuple[int, str, str]:
        """(Timestamp, RecordId, digest); a recording without a time comes last."""
        return _or_never(self.reading.values.get("Timestamp")), self.record_id, self.digest

    def absorb(self, theirs: Self) -> None:
        """Take in what the API knows of the same recording; what was pushed stays as pushed."""
        self.reading = merge_fields([self.reading, theirs.reading])
        self.received_ms = min(self.received_ms, theirs.received_ms)
        self.sources |= theirs.sources


class _Match(NamedTuple):
    """A track's place in the session."""

    recording_id: str
    matched_by: Literal["recording_id", "endpoint_user"]
    carrier: Carrier | None


def match_recordings(names: dict[str, list[Carrier]], reports: Sequence[tuple[str, Report]]) -> list[Row]:
    """Rows of a session's recordings. `names`: carriers by RecordId, root first; `reports`: deciding ones first."""
    if not reports:
        return sorted([_missing_row(name, carriers[0]) for name, carriers in names.items()], key=_RECORDING_ID)
    tracks, known_to_api = _tracks_of(reports)
    matches = _match_by_id(names, tracks)
    if names and len(matches) < len(tracks):
        taken = {match.recording_id for match in matches.values()}
        matches |= _match_by_endpoint({name: names[name] for name in names if name not in taken}, tracks, matches)
    # In the order of their ids: where the API's id could be that of several tracks, the first of them has it.
    for record_id, members in sorted(known_to_api.items()):
        theirs = _track(record_id, "", members)
        mine = _track_of_id(record_id, tracks, matches)
        if mine is not None:
            mine.absorb(theirs)
            continue
        tracks.append(theirs)
        if record_id in names:
            matches[id(theirs)] = _Match(record_id, "recording_id", names[record_id][0])
    rows = [_row_of(track, matches.get(id(track)), recording_id) for track, recording_id in _identify(tracks, matches)]
    if names:
        taken = {match.recording_id for match in matches.values()}
        rows += [_missing_row(name, carriers[0]) for name, carriers in names.items() if name not in taken]
    return sorted(_with_absences(rows, reports), key=_RECORDING_ID)


_Member = tuple[str, Report, Reading]


def _tracks_of(reports: Sequence[tuple[str, Report]]) -> tuple[list[Track], dict[str, list[_Member]]]:
    """Tracks in their fixed order; and, by RecordId, what the API knows without saying whose recording it is."""
    groups: dict[tuple[str, str], list[_Member]] = defaultdict(list)
    known_to_api: dict[str, list[_Member]] = defaultdict(list)
    for digest, report in reports:
        if report.fact is ApiFact.ABSENT:
            continue
        reading = read(RecordPush, report.payload)
        endpoint = normalize_endpoint(reading.values.get("EndpointUser", ""))
        member = (digest, report, reading)
        record_id = _record_id(reading, endpoint, digest)
        if report.source is Source.API and not endpoint:
            known_to_api[record_id].append(member)
        else:
            groups[record_id, endpoint].append(member)
    tracks = [_track(*key, members) for key, members in groups.items()]
    if len(tracks) > 1:
        tracks.sort(key=lambda track: track.order)
    return tracks, known_to_api


def _track_of_id(record_id: str, tracks: list[Track], matches: dict[int, _Match]) -> Track | None:
    """The track that the API means: the one that has this name, else the one that was pushed under this id."""
    named = (track for track in tracks if id(track) in matches and matches[id(track)].recording_id == record_id)
    pushed = sorted((track for track in tracks if track.record_id == record_id), key=lambda track: track.endpoint)
    return next(named, pushed[0] if pushed else None)


def _track(record_id: str, endpoint: str, members: list[tuple[str, Report, Reading]]) -> Track:
    if len(members) == 1:
        digest, report, reading = members[0]
        return Track(record_id, endpoint, digest, reading, report.first_ms, {report.source})
    members = sorted(members, key=lambda member: (member[1].first_ms, member[0]), reverse=True)
    return Track(
        record_id=record_id,
        endpoint=endpoint,
        digest=members[0][0],
        reading=merge_fields(reading for _, _, reading in members),
        received_ms=min(report.first_ms for _, report, _ in members),
        sources={report.source for _, report, _ in members},
    )


def _record_id(reading: Reading, endpoint: str, digest: str) -> str:
    """RecordId as pushed, else an id derived from what tells recordings apart: time, path of the address, endpoint."""
    pushed = reading.values.get("RecordId")
    if isinstance(pushed, str):
        return pushed
    generated_at, url = reading.values.get("Timestamp"), reading.values.get("RecordURL")
    if generated_at is None and url is None:
        return f"content:{digest}"
    return f"content:{content_id(generated_at, url, endpoint)}"


def content_id(generated_ms: int | None, url: str | None, *more: str) -> str:
    """Identify a sound by its time and the path of its address; hosts and query strings may change."""
    time_text = None if generated_ms is None else instant_of_ms(generated_ms).isoformat()
    identity = jsontext.encode([time_text, _url_path(url), *more])
    return hashlib.blake2b(identity, digest_size=16).hexdigest()


def _url_path(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        return urlsplit(url).path
    except ValueError:
        return url


def _match_by_id(names: dict[str, list[Carrier]], tracks: list[Track]) -> dict[int, _Match]:
    matches: dict[int, _Match] = {}
    for name, carriers in names.items():
        same_id = [track for track in tracks if track.record_id == name]
        if len(same_id) == len(carriers) == 1:
            matches[id(same_id[0])] = _Match(name, "recording_id", carriers[0])
            continue
        is_shared = carriers[0].leg_sequence is None and len(carriers) > 1
        if len(same_id) > 1 and is_shared:
            matches |= _match_shared(name, carriers, same_id)
        elif same_id:
            track, carrier = next(_agreeing(same_id, carriers), (same_id[0], carriers[0]))
            matches[id(track)] = _Match(name, "recording_id", carrier)
    return matches


def _match_shared(name: str, carriers: list[Carrier], tracks: list[Track]) -> dict[int, _Match]:
    """One id on root and leg, several endpoints: every track is expected; the root's keeps the plain id."""
    places: dict[int, Carrier] = {}
    for track, carrier in _agreeing(tracks, carriers):
        if id(track) not in places and carrier not in places.values():
            places[id(track)] = carrier
    free = [carrier for carrier in carriers if carrier not in places.values()]
    for track in tracks:
        if id(track) not in places and free:
            places[id(track)] = free.pop(0)
    plain = next((track for track in tracks if places.get(id(track)) == carriers[0]), tracks[0])
    return {
        id(track): _Match(
            name if track is plain else _qualified(track),
            "recording_id",
            places.get(id(track)),
        )
        for track in tracks
    }


def _agreeing(tracks: list[Track], carriers: list[Carrier]) -> Iterator[tuple[Track, Carrier]]:
    return ((track, carrier) for track in tracks for carrier in carriers if track.endpoint in carrier.people)


def _match_by_endpoint(
    names: dict[str, list[Carrier]], tracks: list[Track], matches: dict[int, _Match]
) -> dict[int, _Match]:
    """The rest, person by person: tracks by time against unmatched names by the end of their legs."""
    found: dict[int, _Match] = {}
    rest = [track for track in tracks if id(track) not in matches and track.endpoint]
    if not rest or not names:
        return found
    free = dict(names)
    for endpoint in sorted({track.endpoint for track in rest}):
        theirs = sorted(
            ((carrier, name) for name, carriers in free.items() for carrier in carriers if endpoint in carrier.people),
            key=lambda item: (item[0].order, item[1]),
        )
        places = {name: carrier for carrier, name in reversed(theirs)}
        ordered = sorted(places.items(), key=lambda item: (item[1].order, item[0]))
        for track, (name, carrier) in zip((t for t in rest if t.endpoint == endpoint), ordered, strict=False):
            found[id(track)] = _Match(name, "endpoint_user", carrier)
            del free[name]
    return found


def _identify(tracks: list[Track], matches: dict[int, _Match]) -> list[tuple[Track, str]]:
    """A recording id for every track, unique in the session: matched ones keep the CDR's."""
    used = {match.recording_id for match in matches.values()}
    identified: list[tuple[Track, str]] = []
    for track in tracks:
        match = matches.get(id(track))
        if match is None:
            alone = len(tracks) == 1 or sum(other.record_id == track.record_id for other in tracks) == 1
            recording_id = track.record_id if alone else _qualified(track)
            while recording_id in used:
                recording_id += f"~{track.digest[:8]}"
            used.add(recording_id)
        else:
            recording_id = match.recording_id
        identified.append((track, recording_id))
    return identified


def _qualified(track: Track) -> str:
    return f"{track.record_id}~{track.endpoint}"


def _row_of(track: Track, match: _Match | None, recording_id: str) -> Row:
    values = track.reading.values
    carrier = match.carrier if match else None
    generated_ms = values.get("Timestamp")
    return {
        "absent_at": None,
        "custom_url": values.get("CustomRecordURL"),
        "endpoint_user": values.get("EndpointUser"),
        "extra": track.reading.rest or None,
        "generated_at": None if generated_ms is None else instant_text_of_ms(generated_ms),
        "is_expected": match is not None,
        "leg_sequence": carrier.leg_sequence if carrier else None,
        "matched_by": match.matched_by if match else None,
        "pushed_recording_id": track.record_id,
        "received_at": instant_text_of_ms(track.received_ms),
        "recording_id": recording_id,
        "side": carrier.side if carrier else None,
        "source": source_text(track.sources),
        "url": values.get("RecordURL"),
    }


def _missing_row(name: str, carrier: Carrier) -> Row:
    return {
        "absent_at": None,
        "custom_url": None,
        "endpoint_user": None,
        "extra": None,
        "generated_at": None,
        "is_expected": True,
        "leg_sequence": carrier.leg_sequence,
        "matched_by": None,
        "pushed_recording_id": None,
        "received_at": None,
        "recording_id": name,
        "side": carrier.side,
        "source": None,
        "url": None,
    }


def _with_absences(rows: list[Row], reports: Sequence[tuple[str, Report]]) -> list[Row]:
    """Tell recordings that the API says do not exist from those that are not here yet."""
    absent_ms: dict[str, int] = {}
    for digest, report in reports:
        if report.fact is ApiFact.ABSENT:
            record_id = _record_id(read(RecordPush, report.payload), "", digest)
            absent_ms[record_id] = min(report.first_ms, absent_ms.get(record_id, report.first_ms))
    if not absent_ms:
        return rows
    return [
        {**row, "absent_at": instant_text_of_ms(absent_ms[row["recording_id"]])}
        if row["received_at"] is None and row["recording_id"] in absent_ms
        else row
        for row in rows
    ]


def _or_never(milliseconds: int | None) -> int:
    return _NEVER if milliseconds is None else milliseconds


def source_text(sources: Iterable[Source]) -> str | None:
    """'push', 'api', 'push+api', or None."""
    return _SOURCE_TEXTS[frozenset(sources)]
