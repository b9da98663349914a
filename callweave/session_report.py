"""`callweave session`: everything known of one call, from the session topic (what came) and the warehouse (rows)."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from callweave.kafka import admin_client, end_offsets, partitions_of, plain_consumer
from callweave.reading import Questions, open_questions
from callweave.settings import Settings
from schemas import jsontext
from schemas.columns import LEGS, RECORDINGS, SESSIONS, VOICEMAILS, Table
from schemas.events import EventKind, session_key
from schemas.models import instant_ms, instant_of_ms, instant_text
from schemas.topics import MESSAGE_BYTES_MAX
from schemas.topics import SESSIONS as SESSIONS_TOPIC
from sinks.sink import QueryRefusedError, SinkUnavailableError
from streams.core.disagreements import Sides, compare_sides
from streams.core.project import ranked_reports
from streams.core.state import state_from_json

_CLOCKS_APART_MS: Final = 600_000
"""A record is written after the last receipt that it knows of, by another machine's clock."""


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What the topic and the warehouse know."""

    sdk_app_id: int
    session_id: str
    published: dict[str, Any] | None
    rows: dict[str, list[dict[str, Any]]]
    warehouse_problem: str | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    sides: Sides | None = None

    @property
    def is_known(self) -> bool:
        """Whether anybody knows the session."""
        return self.published is not None or bool(self.rows.get("sessions"))

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "sdk_app_id": self.sdk_app_id,
            "session_id": self.session_id,
            "reports": self.reports,
            "published": self.published,
            "rows": self.rows,
            "warehouse_problem": self.warehouse_problem,
            "push_and_api": None if self.sides is None else asdict(self.sides),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"session {self.session_id} of {self.sdk_app_id}"
        if not self.is_known:
            yield "nothing is known of it: nothing was pushed, or it is still on its way (`callweave status`)"
            return
        yield from self._report_lines()
        yield from self._api_lines()
        row = next(iter(self.rows.get("sessions", [])), None)
        if row is None:
            yield f"not in the warehouse yet{f': {self.warehouse_problem}' if self.warehouse_problem else ''}"
        else:
            behind = self.published is not None and self.published["version"] != str(row["version"])
            yield f"warehouse: version {row['version']}{' (an older one)' if behind else ''}, loaded {row['loaded_at']}"
            yield from _filled(row)
        for table in ("legs", "recordings", "voicemails"):
            for child in self.rows.get(table, []):
                yield f"{table}: " + ", ".join(_filled(child))
        for recording in self.rows.get("recordings", []):
            if recording["is_expected"] and recording["received_at"] is None and recording["absent_at"] is None:
                yield f"missing: the {recording['side']}'s recording {recording['recording_id']} has not come"

    def _report_lines(self) -> Iterator[str]:
        for report in self.reports:
            times = ", ".join(f"{receipt['received_at']} ({receipt['push_id']})" for receipt in report["receipts"])
            again = len(report["receipts"]) - 1
            yield f"report {report['digest'][:8]} {report['kind']} from {report['source']}: {times}" + (
                f"; received again {again} times" if again else ""
            )

    def _api_lines(self) -> Iterator[str]:
        """What the API says beside what was pushed."""
        if self.published is None:
            return
        if self.sides is None:
            missing = "the API was not asked, or does not know it" if self.published["has_cdr"] else "there is no CDR"
            source = self.published["source"]
            yield "API: never pushed, all of it is the API's" if source == "api" else f"API: {missing} (--ask-api asks)"
            return
        differing = self.published.get("field_disagreements", [])
        if not differing and not self.sides.excused:
            yield "API: says what was pushed"
        for row in differing:
            yield f"API: {row['field']} was pushed as {row['pushed_value']!r}, and the API says {row['api_value']!r}"
        for name, pushed, told, why in self.sides.excused:
            yield f"API: {name} was pushed as {pushed!r}, and the API says {told!r} (no disagreement: {why})"
        for who, names in (("the push", self.sides.only_pushed), ("the API", self.sides.only_api)):
            if names:
                yield f"API: only {who} fills {', '.join(names)}"


async def report_session(settings: Settings, sdk_app_id: int, session_id: str) -> SessionReport:
    """Look the session up, in the warehouse and in the topic."""
    rows, problem = await asyncio.to_thread(rows_of_session, settings, sdk_app_id, session_id)
    known = next(iter(rows.get("sessions", [])), None)
    record = await _last_record(settings, session_key(sdk_app_id, session_id), known)
    return report_of(sdk_app_id, session_id, rows, record, warehouse_problem=problem)


def rows_of_session(
    settings: Settings, sdk_app_id: int, session_id: str
) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """What the warehouse holds of it, and why it cannot say."""
    try:
        with open_questions(settings) as questions:
            return {
                table.name: _rows(questions, table, sdk_app_id, session_id)
                for table in (SESSIONS, LEGS, RECORDINGS, VOICEMAILS)
            }, None
    except (SinkUnavailableError, QueryRefusedError) as exc:
        return {}, str(exc)


def report_of(
    sdk_app_id: int,
    session_id: str,
    rows: dict[str, list[dict[str, Any]]],
    record: dict[str, Any] | None,
    *,
    warehouse_problem: str | None,
) -> SessionReport:
    """What both say, as one."""
    return SessionReport(
        sdk_app_id=sdk_app_id,
        session_id=session_id,
        published=None if record is None else record["session"],
        rows=rows,
        warehouse_problem=warehouse_problem,
        reports=[] if record is None else _reports(record["state"]),
        sides=None if record is None else _sides(record["state"]),
    )


def _sides(state: dict[str, Any]) -> Sides | None:
    ranked = ranked_reports(state_from_json(state))
    return compare_sides([report for _, report in ranked if report.kind is EventKind.CDR])


def _reports(state: dict[str, Any]) -> list[dict[str, Any]]:
    reports = [
        {
            "digest": digest,
            "kind": report["kind"],
            "source": report["source"],
            "payload": report["payload"],
            "receipts": [
                {"received_at": instant_text(instant_of_ms(received_ms)), "push_id": push_id}
                for received_ms, push_id in report["receipts"]
            ],
        }
        for digest, report in state["reports"].items()
    ]
    return sorted(reports, key=lambda report: str(report["receipts"][0]["received_at"]))


async def _last_record(settings: Settings, key: bytes, known: dict[str, Any] | None) -> dict[str, Any] | None:
    """The newest record of a session: its partition, from where the row that is known can stand, else all of it."""
    topic = SESSIONS_TOPIC.name(settings.kafka.topic_prefix)
    async with (
        admin_client(settings) as admin,
        plain_consumer(settings, max_partition_fetch_bytes=MESSAGE_BYTES_MAX) as consumer,
    ):
        numbers = [tp.partition for tp in await partitions_of(admin, [topic])]
        if not numbers:
            return None
        partition = TopicPartition(topic, DefaultPartitioner()(key, numbers, numbers))
        end = (await end_offsets(admin, consumer, [topic]))[topic, partition.partition]
        consumer.assign([partition])
        if known is not None:
            received_ms = instant_ms(datetime.fromisoformat(known["last_received_at"]))
            places = await consumer.offsets_for_times({partition: received_ms - _CLOCKS_APART_MS})
            place = places[partition]
            if place is not None:
                newest = await _newest_of(consumer, partition, key, (place.offset, end))
                if newest is not None:
                    return newest
        return await _newest_of(consumer, partition, key, (0, end))


async def _newest_of(
    consumer: AIOKafkaConsumer, partition: TopicPartition, key: bytes, span: tuple[int, int]
) -> dict[str, Any] | None:
    first, end = span
    newest: bytes | None = None
    if first == 0:
        await consumer.seek_to_beginning(partition)
    else:
        consumer.seek(partition, first)
    while await consumer.position(partition) < end:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                if record.key == key:
                    newest = record.value
    return None if newest is None else dict(jsontext.decode(newest))


def _rows(questions: Questions, table: Table, sdk_app_id: int, session_id: str) -> list[dict[str, Any]]:
    quoted = session_id.replace("'", "''")
    order = ", ".join(table.key)
    return questions.ask(
        f"select * from {table.name} where sdk_app_id = {sdk_app_id} and session_id = '{quoted}' order by {order}"  # noqa: S608  (quoted above; the query door only reads)
    ).dicts()


def _filled(row: dict[str, Any]) -> Iterator[str]:
    return (
        f"  {name} = {value}"
        for name, value in row.items()
        if value is not None and name not in ("sdk_app_id", "session_id", "document_digest")
    )
