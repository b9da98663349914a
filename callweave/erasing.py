"""`callweave erase`: one person, everywhere that callweave can reach, and what it cannot.

The rule: first the list, so that nothing new is written; then every session and letter that names the person, each by
an event or a tombstone that its owner acts on; then it is looked whether anything is left. Doing it again is harmless.
"""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from callweave.kafka import admin_client, client_options, end_offsets, partitions_of, plain_consumer
from callweave.letters import read_letters
from callweave.reading import Questions, open_questions
from callweave.settings import MisconfiguredError, Settings
from callweave.standing import wait_idle
from callweave.suppression_list import person_key, read_list
from ingest.kafka_publisher import KafkaLogOptions, KafkaPublisher, Record
from schemas import columns, jsontext
from schemas.canonical import digest
from schemas.columns import Column, ColumnType, Table
from schemas.events import TOPIC_OF, EventKind, NormalizedEvent, Source, parse_session_key, session_key
from schemas.models import Privacy, instant_ms, instant_of_ms, instant_text
from schemas.person import PersonKey, masked_token, number_identity
from schemas.suppression import Erasure, SuppressionRecord, Suppressions, erasing_payload
from schemas.topics import DEAD_LETTERS, EVENT_TOPICS, MESSAGE_BYTES_MAX, RECORDING_FILES, SESSIONS, SUPPRESSIONS, Topic
from sinks.sink import QueryLimits

LEARNING_SECONDS: Final = 2.0
"""How long every process is given to read the new entries: each follows the list within a fraction of that."""
_LIMITS: Final = QueryLimits(rows_max=200_000, seconds_max=600.0)
_AT_ONCE: Final = 500
_GAP: Final = "[^0-9]{0,3}"
_MATCHES: Final = {"postgresql": "{text} ~ '{pattern}'", "clickhouse": "match({text}, '{pattern}')"}
_MATCHES_DUCKDB: Final = "regexp_matches({text}, '{pattern}')"
_UNREACHED: Final = (
    "copies that others made: exports, extracts and caches of BI tools, backups, downloaded recordings",
    "TCCC itself: delete the recordings and the contact in its console",
)

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, of how much."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who is to be erased, and how."""

    numbers: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    sessions: tuple[tuple[int, str], ...] = ()
    erasure: Erasure = Erasure.REMOVED


@dataclass(slots=True)
class Receipt:
    """What was done. Nothing of it names a person: hashes, counts, times."""

    requested_at: datetime
    erasure: Erasure
    key_id: str
    subjects: list[str]
    is_dry: bool
    sessions_in_log: int = 0
    sessions_in_warehouse: int = 0
    letters: int = 0
    pending: str | None = None
    left_in_warehouse: int | None = None
    forgotten_at: dict[str, datetime | None] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left that callweave can reach."""
        return self.is_dry or (self.pending is None and not self.left_in_warehouse)

    def as_json(self) -> dict[str, Any]:
        """For programs, and for the file."""
        return {
            "requested_at": instant_text(self.requested_at),
            "erasure": self.erasure.value,
            "dry_run": self.is_dry,
            "key_id": self.key_id,
            "subjects": self.subjects,
            "sessions_in_log": self.sessions_in_log,
            "sessions_in_warehouse": self.sessions_in_warehouse,
            "dead_letters": self.letters,
            "pending": self.pending,
            "left_in_warehouse": self.left_in_warehouse,
            "raw_topics_forget_at": {
                topic: None if at is None else instant_text(at) for topic, at in self.forgotten_at.items()
            },
            "not_reached": list(_UNREACHED),
        }


def erase(
    settings: Settings,
    request: Request,
    *,
    dry_run: bool,
    wait_seconds: float,
    now: Callable[[], datetime],
    progress: Progress,
) -> Receipt:
    """Do it, or only count. MisconfiguredError where it cannot be done as asked."""
    key = person_key(settings)
    if key is None:
        raise MisconfiguredError(
            "erasing needs a key that people are hashed with: set CALLWEAVE_PRIVACY__KEY (or …_FILE) to 32 random "
            "characters or more, the same for every process, and keep it: without it the list cannot be read"
        )
    requested_at = instant_of_ms(instant_ms(now()))
    entries = _entries(key, request, requested_at)
    listed = Suppressions.of(key, entries)
    receipt = Receipt(requested_at, request.erasure, key.id, [entry.key.decode() for entry in entries], dry_run)
    known = asyncio.run(read_list(settings)).entries
    if not dry_run:
        # Before anything is searched: what is written from now on says nothing of them.
        asyncio.run(_publish_entries(settings, [entry for entry in entries if not _is_known(known, entry)]))
        time.sleep(LEARNING_SECONDS)
    keys = asyncio.run(_sessions_in_log(settings, listed, progress))
    receipt.sessions_in_log = len(keys)
    search = _Search(settings, request, key, listed)
    progress("searching the warehouse", 0, 1)
    with open_questions(settings) as questions:
        found, letters = search.sessions(questions), _letters_in_warehouse(questions, listed)
    receipt.sessions_in_warehouse = len(found)
    keys |= {session_key(*place) for place in (*found, *request.sessions)}
    in_topic = asyncio.run(read_letters(settings))
    letters |= {seen.letter.dead_letter_id for seen in in_topic if listed.is_named_in_letter(seen.letter)}
    receipt.letters = len(letters)
    receipt.forgotten_at = asyncio.run(_forgotten_at(settings, requested_at))
    if dry_run:
        return receipt
    # The moment of the order, not of the request: a push that came while we searched is older than it.
    ordered_at = instant_of_ms(instant_ms(now()))
    asyncio.run(_order(settings, key, keys, letters, request.erasure, ordered_at, progress=progress))
    pending = asyncio.run(wait_idle(settings, wait_seconds))
    receipt.pending = None if pending is None else str(pending)
    with open_questions(settings) as questions:
        receipt.left_in_warehouse = len(search.sessions(questions)) + len(_letters_in_warehouse(questions, listed))
    _write(settings, receipt)
    return receipt


def receipt_file(settings: Settings, receipt: Receipt) -> Path:
    """Where a receipt is kept."""
    return settings.data_dir / "erasures" / f"{receipt.requested_at:%Y%m%dT%H%M%S%fZ}.json"


def _write(settings: Settings, receipt: Receipt) -> None:
    file = receipt_file(settings, receipt)
    file.parent.mkdir(parents=True, exist_ok=True)
    passing = file.with_suffix(".part")
    passing.write_text(json.dumps(receipt.as_json(), indent=2) + "\n", encoding="utf-8")
    passing.replace(file)


def _entries(key: PersonKey, request: Request, at: datetime) -> list[SuppressionRecord]:
    entries: list[SuppressionRecord] = []
    for number in request.numbers:
        identity = number_identity(number)
        if identity is None:
            raise MisconfiguredError("a number to erase is no phone number: write its digits, with or without 00 or +")
        entries.append(_entry("number", key.number(identity), request, key, at, digits_count=len(identity)))
    for mail in request.mails:
        if "@" not in mail:
            raise MisconfiguredError("a mail address to erase has no @")
        entries.append(_entry("mail", key.mail(mail.strip()), request, key, at))
    entries += [_entry("session", session_key(*place).decode(), request, key, at) for place in request.sessions]
    if not entries:
        raise MisconfiguredError("nobody is to be erased: name a --number, a --mail or a --session")
    return entries


def _entry(
    kind: Literal["number", "mail", "session"],
    subject: str,
    request: Request,
    key: PersonKey,
    at: datetime,
    *,
    digits_count: int | None = None,
) -> SuppressionRecord:
    return SuppressionRecord(
        kind=kind,
        subject=subject,
        digits_count=digits_count,
        erasure=request.erasure,
        key_id=key.id,
        requested_at=at,
    )


def _is_known(known: Mapping[bytes, SuppressionRecord], entry: SuppressionRecord) -> bool:
    before = known.get(entry.key)
    return before is not None and before.erasure.and_(entry.erasure) is before.erasure


# Kafka


async def _publish(settings: Settings, topics: Iterable[Topic], records: Sequence[Record]) -> None:
    """Return once all of them are acknowledged."""
    options = KafkaLogOptions(
        connection=client_options(settings), topic_prefix=settings.kafka.topic_prefix, client_id="callweave-erase"
    )
    publisher = KafkaPublisher(options)
    try:
        await publisher.start({topic.name(settings.kafka.topic_prefix) for topic in topics})
        for start in range(0, len(records), _AT_ONCE):
            await publisher.publish(records[start : start + _AT_ONCE])
    finally:
        await publisher.stop(5.0)


async def _publish_entries(settings: Settings, entries: Sequence[SuppressionRecord]) -> None:
    topic = SUPPRESSIONS.name(settings.kafka.topic_prefix)
    await _publish(settings, [SUPPRESSIONS], [Record(topic, entry.key, entry.encoded()) for entry in entries])


async def _order(  # noqa: PLR0913 - what an order says
    settings: Settings,
    key: PersonKey,
    keys: Iterable[bytes],
    letters: Iterable[str],
    erasure: Erasure,
    at: datetime,
    *,
    progress: Progress,
) -> None:
    """Tell the fold of each session and the loader of each letter; and list the sessions, whose parts may come late."""
    prefix = settings.kafka.topic_prefix
    ordered = sorted(keys)
    listed = [
        SuppressionRecord(kind="session", subject=one.decode(), erasure=erasure, key_id=key.id, requested_at=at)
        for one in ordered
    ]
    await _publish_entries(settings, listed)
    progress("telling the worker and the loader", 0, len(ordered))
    events = [_erasing_event(*parse_session_key(one), erasure, at) for one in ordered]
    cdr_topic = TOPIC_OF[EventKind.CDR].name(prefix)
    await _publish(settings, EVENT_TOPICS, [Record(cdr_topic, event.key, event.encoded()) for event in events])
    tombstones = [Record(DEAD_LETTERS.name(prefix), letter.encode(), None) for letter in sorted(letters)]
    await _publish(settings, [DEAD_LETTERS], tombstones)
    progress("telling the worker and the loader", len(ordered), len(ordered))


def _erasing_event(sdk_app_id: int, session_id: str, erasure: Erasure, at: datetime) -> NormalizedEvent:
    payload = erasing_payload(sdk_app_id, session_id, erasure)
    identity = digest(EventKind.CDR, Source.API, None, payload)
    return NormalizedEvent(
        kind=EventKind.CDR,
        sdk_app_id=sdk_app_id,
        session_id=session_id,
        payload=payload,
        digest=identity,
        source=Source.API,
        push_id=f"erase:{identity}",
        received_at=at,
    )


async def _sessions_in_log(settings: Settings, listed: Suppressions, progress: Progress) -> set[bytes]:
    """Keys of the sessions whose newest or older records name a person of the list."""
    topic = SESSIONS.name(settings.kafka.topic_prefix)
    keys: set[bytes] = set()
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        partitions = await partitions_of(admin, [topic])
        if not partitions:
            raise MisconfiguredError(f"Kafka has no topic {topic}: check KAFKA__TOPIC_PREFIX")
        ends = await end_offsets(admin, consumer, [topic])
        total = sum(ends.values())
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(tp) < ends[tp.topic, tp.partition] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                keys |= {record.key for record in records if record.value and listed.is_named_in(record.value)}
            progress("reading the sessions topic", sum([await consumer.position(tp) for tp in partitions]), total)
    return keys


async def _forgotten_at(settings: Settings, now: datetime) -> dict[str, datetime | None]:
    """When the raw topics will have forgotten what they hold now; None where they never do."""
    found: dict[str, datetime | None] = {}
    async with admin_client(settings) as admin:
        for topic in EVENT_TOPICS:
            name = topic.name(settings.kafka.topic_prefix)
            responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
            told = {entry[0]: entry[1] for one in responses for resource in one.resources for entry in resource[4]}
            retention = int(told.get("retention.ms") or -1)
            # A segment goes when its newest record is old enough, and it may stay open for as long as it may be.
            roll = int(told.get("segment.ms") or 0)
            found[name] = None if retention < 0 else now + timedelta(milliseconds=retention + roll)
    return found


# The warehouse


@dataclass(frozen=True, slots=True)
class _Search:
    """Finds the sessions that name a person in the warehouse."""

    settings: Settings
    request: Request
    key: PersonKey
    listed: Suppressions

    def sessions(self, questions: Questions) -> set[tuple[int, str]]:
        """Their keys."""
        found: set[tuple[int, str]] = set()
        pattern = self._pattern()
        if pattern is not None:
            files = [table for table in columns.KEYED_TABLES if table.name == RECORDING_FILES.suffix]
            for table in (*columns.SESSION_TABLES, *files):
                found |= self._in_table(questions, table, pattern)
        for app, session in self.request.sessions:
            sql = (
                "SELECT count(*) AS n FROM sessions "  # noqa: S608 - the literal is escaped
                f"WHERE sdk_app_id = {int(app)} AND session_id = {_literal(session)} AND erasure IS NULL"
            )
            if int(questions.ask(sql, _LIMITS).rows[0][0]):
                found.add((app, session))
        return found

    def _in_table(self, questions: Questions, table: Table, pattern: str) -> set[tuple[int, str]]:
        texts = [f"CAST({column.name} AS {self._text_type})" for column in table.columns if _may_name(column)]
        if not texts:
            return set()
        where = " OR ".join(self._matches.format(text=text, pattern=pattern) for text in texts)
        told = ", ".join(f"{text} AS t{place}" for place, text in enumerate(texts))
        sql = f"SELECT sdk_app_id, session_id, {told} FROM {table.name} WHERE {where}"  # noqa: S608
        rows = questions.ask(sql, _LIMITS).rows
        return {(int(app), str(session)) for app, session, *values in rows if any(map(self._is_named, values))}

    def _is_named(self, text: Any) -> bool:
        if not isinstance(text, str):
            return False
        return any(token in text for token in self._tokens()) or self.listed.is_named_in(text.encode())

    def _pattern(self) -> str | None:
        """What may name them; digits with anything short between, in every dialect's regular expressions."""
        parts = [_GAP.join(number_identity(number) or "") for number in self.request.numbers]
        parts += [_escaped(mail.strip()) for mail in self.request.mails]
        parts += [_escaped(token) for token in self._tokens()]
        return "|".join(parts) or None

    def _tokens(self) -> Iterator[str]:
        """How a warehouse with masked numbers calls them."""
        for number in self.request.numbers:
            identity = number_identity(number)
            if identity is not None:
                yield masked_token(self.key, self.key.number(identity))

    @property
    def _matches(self) -> str:
        return _MATCHES.get(self.settings.warehouse_url.partition(":")[0].partition("+")[0], _MATCHES_DUCKDB)

    @property
    def _text_type(self) -> str:
        return "Nullable(String)" if self.settings.warehouse_url.startswith("clickhouse") else "VARCHAR"


def _letters_in_warehouse(questions: Questions, listed: Suppressions) -> set[str]:
    """Ids of the letters that name somebody, as far back as the table goes."""
    found: set[str] = set()
    after = ""
    while True:
        sql = (
            f"SELECT dead_letter_id, raw, detail, action, headers FROM {columns.DEAD_LETTERS.name} "  # noqa: S608
            f"WHERE dead_letter_id > {_literal(after)} ORDER BY dead_letter_id LIMIT {_AT_ONCE}"
        )
        rows = questions.ask(sql, _LIMITS).rows
        for letter_id, raw, *around in rows:
            told = [one if isinstance(one, str) else jsontext.encode(one).decode() for one in around if one is not None]
            body = base64.b64decode(raw) if isinstance(raw, str) else b""
            if listed.is_named_in(body) or any(listed.is_named_in(one.encode()) for one in told):
                found.add(str(letter_id))
        if len(rows) < _AT_ONCE:
            return found
        after = str(rows[-1][0])


def _may_name(column: Column) -> bool:
    return column.privacy not in (Privacy.NONE, Privacy.NAME) and column.type is not ColumnType.BYTES


def _escaped(text: str) -> str:
    """For a regular expression inside a literal: whatever is no letter, digit or harmless sign matches anything."""
    return "".join(character if character.isalnum() or character in "@:-_" else "." for character in text)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
