"""Deterministic simulation: the whole path on the pure code, with a crash possible between any two of its steps.

Each process is a generator that yields wherever a real one can die, sleep, or be overtaken; a schedule, drawn from a
seed, says who does the next step and who dies. What is durable (logs, the spool, the workers' disks, the warehouse)
survives in `World`; everything else is a generator's local variable and dies with it. A failing schedule is cut down to
the steps that matter. `tests/property/test_pipeline_model.py` draws strange contents on few steps; this draws strange
schedules of ordinary contents.

    python -m tests.faults.simulation [--seeds N] [--first S] [--break NAME]
"""

import argparse
import inspect
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from ingest.normalize import ReceivedPush, normalize
from schemas import jsontext
from schemas.dead_letter import decode_letter
from schemas.events import NormalizedEvent, decode_event, parse_session_key
from schemas.models import instant_of_ms
from sinks.rows import Document, read_document
from streams.core.absorb import absorb
from streams.core.fold import Restored, fold, record_of_stored, restore
from streams.core.project import project
from streams.core.state import EMPTY
from tests.support.pushes import a_cdr, a_record, a_voicemail, body_of

BREAKAGES = (
    "answer before Kafka",
    "answer before the spool's write",
    "delete from the spool early",
    "commit early",
    "restore by replacing",
    "trust the store",
    "drop the offsets row",
    "rows without a transaction",
)
STEPS = 150
DELIVERIES_MAX = 4
ROUNDS_MAX = 5_000
START_MS = 1_700_000_000_000
WORKERS = ("worker-1", "worker-2")

Process = Generator[str, float, None]
"""Yields what it has just done; is sent a number from 0 to 1, its luck in the step that follows."""


class ViolationError(AssertionError):
    """A law does not hold; the message says which, and where."""


@dataclass
class Push:
    """One push of TCCC's, and what it was told."""

    name: str
    action: str
    raw: bytes
    deliveries: int = 0
    answered: int = 0


@dataclass
class Disk:
    """What one worker's disk holds: states, and how far into the session topic they go."""

    stored: dict[bytes, bytes] = field(default_factory=dict)
    knows_up_to: int = 0


@dataclass
class Warehouse:
    """Rows, letters and offsets; what is in one transaction changes in one step."""

    rows: dict[bytes, Document] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    sessions_offset: int = 0
    letters_offset: int = 0


@dataclass
class World:
    """What outlives every process, and who runs."""

    pushes: dict[str, Push]
    broken: str | None = None
    now_ms: int = START_MS
    kafka_is_up: bool = True
    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    sessions: list[tuple[bytes, bytes]] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    spool: list[tuple[int, list[tuple[bytes, bytes]], list[bytes]]] = field(default_factory=list)
    spooled: int = 0
    committed: int = 0
    generation: int = 0
    disks: dict[str, Disk] = field(default_factory=lambda: {name: Disk() for name in WORKERS})
    warehouse: Warehouse = field(default_factory=Warehouse)
    running: dict[str, Process] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    played: list["Played"] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def publish(self, key: bytes, record: bytes) -> int:
        """Append to the session topic; the offset."""
        self.sessions.append((key, record))
        return len(self.sessions) - 1


# The processes

_event = lru_cache(2_000)(decode_event)
_document = lru_cache(2_000)(read_document)
_letter = lru_cache(100)(decode_letter)


def answering(world: World, push: Push) -> Process:
    """The door with one delivery: normalize, append or spool, answer."""
    events, letters = _normalized(push.raw, push.name, push.action, world.now_ms)
    if world.broken == "answer before Kafka":
        push.answered += 1
    luck = yield "received"
    if world.kafka_is_up:
        world.events += events
        world.letters += letters
        luck = yield "appended"
        if luck > 0.15:
            push.answered += world.broken != "answer before Kafka"
            yield "answered"
            return
        # The acknowledgement was lost: the log has it, the door does not know, and the spool takes it.
    if world.broken == "answer before the spool's write":
        push.answered += 1
        yield "answered"
    world.spooled += 1
    world.spool.append((world.spooled, events, letters))
    yield "spooled"
    push.answered += world.broken not in {"answer before Kafka", "answer before the spool's write"}
    yield "answered"


@lru_cache(4096)
def _normalized(raw: bytes, name: str, action: str, now_ms: int) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """The records of one delivery."""
    headers = {"X-TCCC-PUSH-UUID": name}
    normalized = normalize(ReceivedPush.of(raw, headers=headers, action=action, received_at=instant_of_ms(now_ms)))
    event = normalized.event
    events = [] if event is None else [(event.key, event.encoded())]
    return events, [letter.encoded() for letter in normalized.letters]


def draining(world: World) -> Process:
    """The spool's drainer: append in order, delete after the acknowledgement."""
    while True:
        if not world.spool or not world.kafka_is_up:
            yield "idle"
            continue
        number, events, letters = world.spool[0]
        if world.broken == "delete from the spool early":
            world.spool = world.spool[1:]
            yield "deleted"
        world.events += events
        world.letters += letters
        yield "appended"
        world.spool = [entry for entry in world.spool if entry[0] != number]
        yield "deleted"


def working(world: World, name: str) -> Process:
    """A worker: restore, say again what the union knows, then fold batch after batch."""
    world.generation += 1
    generation = world.generation
    disk = world.disks[name]
    says_more = _restored(world, disk)
    yield "restored"
    for key in says_more:
        if not (
            yield from _publishing(world, disk, [(key, record_of_stored(key, disk.stored[key]), disk.stored[key])])
        ):
            return
    position = world.committed
    luck = yield "ready"
    while True:
        batch = [_event(*record) for record in world.events[position : position + 1 + int(luck * 4)]]
        if not batch:
            luck = yield "idle"
            continue
        if world.broken == "commit early" and generation == world.generation:
            world.committed = position + len(batch)
        yield "consumed"
        entries = _folded(disk, batch)
        yield "folded"
        if not (yield from _publishing(world, disk, entries)):
            return
        position += len(batch)
        if generation != world.generation:
            yield "its commit was refused"
            return
        world.committed = position
        luck = yield "committed"


def _restored(world: World, disk: Disk) -> list[bytes]:
    """Absorb what the disk does not know of the session topic; the keys of which it then says more."""
    absorbing = _replacing if world.broken == "restore by replacing" else restore
    says_more: dict[bytes, bool] = {}
    while disk.knows_up_to < len(world.sessions):
        key, record = world.sessions[disk.knows_up_to]
        restored = absorbing(disk.stored.get(key), record)
        if world.broken != "trust the store":
            disk.stored[key], says_more[key] = restored.stored, restored.says_more
        disk.knows_up_to += 1
    return [key for key, is_more in says_more.items() if is_more]


def _folded(disk: Disk, batch: Sequence[NormalizedEvent]) -> list[tuple[bytes, bytes, bytes]]:
    """Of each session of the batch: its key, its record for the topic, its state for the store."""
    entries = []
    for key in dict.fromkeys(event.key for event in batch):
        folded = fold(key, disk.stored.get(key), [event for event in batch if event.key == key])
        if folded.record is not None and folded.stored is not None:
            entries.append((key, folded.record, folded.stored))
    return entries


def _publishing(world: World, disk: Disk, entries: Sequence[tuple[bytes, bytes, bytes]]) -> Generator[str, float, bool]:
    """Publish a batch, then write the store. False: somebody else wrote to the topic, and the worker ends."""
    last = disk.knows_up_to - 1
    for key, record, _ in entries:
        while not world.kafka_is_up:
            yield "waits for Kafka"
        offset = world.publish(key, record)
        yield "published"
        if offset != last + 1:
            yield "somebody else wrote to its topic"
            return False
        last = offset
    for key, _, stored in entries:
        disk.stored[key] = stored
    disk.knows_up_to = last + 1
    yield "stored"
    return True


def _replacing(_stored: bytes | None, record: bytes) -> Restored:
    return Restored(jsontext.encode(jsontext.decode(record)["state"]), says_more=False)


def loading(world: World) -> Process:
    """A loader: read, write rows and offsets at once, read on."""
    warehouse = world.warehouse
    position = warehouse.sessions_offset, warehouse.letters_offset
    luck = yield "opened"
    while True:
        count = 1 + int(luck * 5)
        documents = [_document(*record) for record in world.sessions[position[0] : position[0] + count]]
        letters = [_letter(value).dead_letter_id for value in world.letters[position[1] : position[1] + count]]
        moved = position[0] + len(documents), position[1] + len(letters)
        if not world.kafka_is_up or moved == position:
            luck = yield "idle"
            continue
        yield "read"
        while True:
            there = warehouse.sessions_offset, warehouse.letters_offset
            if there == position or world.broken == "drop the offsets row":
                _replace_sessions(warehouse, documents)
                if world.broken == "rows without a transaction":
                    yield "rows written"
                warehouse.seen.update(letters)
                if world.broken == "rows without a transaction":
                    yield "letters written"
                if world.broken != "drop the offsets row":
                    warehouse.sessions_offset, warehouse.letters_offset = moved
            elif there != moved:
                yield "fenced: another loader wrote"
                return
            luck = yield "committed"
            if luck > 0.1:
                break
            yield "the commit's answer was lost"
        position = moved


def _replace_sessions(warehouse: Warehouse, documents: Sequence[Document]) -> None:
    for document in documents:
        key = f"{document.key.sdk_app_id}:{document.key.session_id}".encode()
        held = warehouse.rows.get(key)
        if held is None or document.rank > held.rank:
            warehouse.rows[key] = document


# The scheduler


class Action(NamedTuple):
    """Something that can happen next: how likely, and what does it."""

    weight: float
    do: Callable[[World, str, float], str | None]
    subject: str = ""


def actions(world: World) -> dict[str, Action]:
    """Everything that can happen now, by name."""
    possible: dict[str, Action] = {}
    for name in world.running:
        possible[name] = Action(0.4 if world.last.get(name) == "idle" else 6.0, _step, name)
        if not name.startswith(("door", "spool")):
            possible[f"{name} dies"] = Action(0.25, _die, name)
    for push in world.pushes.values():
        if push.deliveries < DELIVERIES_MAX and f"door: {push.name}" not in world.running:
            possible[f"TCCC pushes {push.name}"] = Action(0.15 if push.answered else 3.0, _deliver, push.name)
    possible["the door dies"] = Action(0.5, _door_dies)
    possible["the partition moves while its owner sleeps"] = Action(0.3, _move)
    possible["a disk is lost"] = Action(0.1, _lose_disk)
    possible["a second loader starts"] = Action(0.15, _second_loader)
    if world.kafka_is_up:
        possible["Kafka goes away"] = Action(0.3, _kafka_goes)
    else:
        possible["Kafka comes back"] = Action(1.5, _kafka_comes)
    return possible


def _step(world: World, name: str, luck: float) -> str:
    process = world.running[name]
    is_new = inspect.getgeneratorstate(process) == inspect.GEN_CREATED  # which takes no value yet
    try:
        done = next(process) if is_new else process.send(luck)
    except StopIteration:
        del world.running[name]
        _restart(world)
        done = "ended"
    world.last[name] = done
    return done


def _deliver(world: World, name: str, _luck: float) -> None:
    push = world.pushes[name]
    push.deliveries += 1
    world.running[f"door: {name}"] = answering(world, push)


def _door_dies(world: World, _subject: str, _luck: float) -> None:
    for name in [name for name in world.running if name.startswith(("door", "spool"))]:
        del world.running[name]
    _restart(world)


def _die(world: World, name: str, _luck: float) -> None:
    del world.running[name]
    _restart(world)


def _move(world: World, _subject: str, _luck: float) -> None:
    """The group gives the partition to the other worker; the owner will wake up later and go on where it was."""
    owner = _owner(world)
    other = WORKERS[1 - WORKERS.index(owner)]
    # One disk belongs to one process: who sleeps on the other's is gone before it starts.
    world.running.pop(f"{other}, long asleep", None)
    world.running[f"{owner}, long asleep"] = world.running.pop(owner)
    world.running[other] = working(world, other)


def _lose_disk(world: World, _subject: str, luck: float) -> None:
    name = WORKERS[int(luck * len(WORKERS))]
    for running in [running for running in world.running if running.startswith(name)]:
        del world.running[running]
    world.disks[name] = Disk()
    _restart(world)


def _second_loader(world: World, _subject: str, _luck: float) -> None:
    world.running.setdefault("loader, by mistake", loading(world))


def _kafka_goes(world: World, _subject: str, _luck: float) -> None:
    world.kafka_is_up = False


def _kafka_comes(world: World, _subject: str, _luck: float) -> None:
    world.kafka_is_up = True


def _owner(world: World) -> str:
    return next(name for name in WORKERS if name in world.running)


def _restart(world: World) -> None:
    """What a supervisor does."""
    if not world.running.keys() & set(WORKERS):
        name = WORKERS[world.generation % len(WORKERS)]
        world.running.pop(f"{name}, long asleep", None)
        world.running[name] = working(world, name)
    if "loader" not in world.running:
        world.running["loader"] = loading(world)
    if "spool" not in world.running:
        world.running["spool"] = draining(world)


# A run


def _drawn(world: World, seed: int) -> None:
    """Play the schedule of a seed."""
    chance = random.Random(f"schedule:{seed}")
    for _ in range(STEPS):
        possible = actions(world)
        name = chance.choices(list(possible), [action.weight for action in possible.values()])[0]
        _play(world, possible[name], Played(name, chance.random()))


def _replayed(world: World, schedule: Sequence["Played"]) -> None:
    """Play these steps, leaving out those that cannot happen."""
    for step in schedule:
        action = actions(world).get(step.name)
        if action is not None:
            _play(world, action, step)


class Played(NamedTuple):
    """One step of a schedule."""

    name: str
    luck: float


def _begin(seed: int, broken: str | None) -> World:
    world = World({push.name: push for push in invent(seed)}, broken)
    _restart(world)
    return world


def _play(world: World, action: Action, step: Played) -> None:
    before = dict(world.warehouse.rows) if step.name.startswith("loader") else None
    world.now_ms += 7
    world.played.append(step)
    done = action.do(world, action.subject, step.luck)
    world.trace.append(f"{step.name}: {done}" if done else step.name)
    _check_always(world, before)


def _end(world: World) -> None:
    world.trace.append("everything comes to rest")
    _rest(world)
    _check_at_rest(world)


def _rest(world: World) -> None:
    """No more faults and no more pushes: whoever sleeps wakes up, and everybody goes on until nothing moves."""
    world.kafka_is_up = True
    world.running.pop("loader, by mistake", None)
    _until_idle(world)
    # A last restart: what the store and the topic say together is all that may count.
    _die(world, _owner(world), 0.0)
    _until_idle(world)


def _until_idle(world: World) -> None:
    for _ in range(ROUNDS_MAX):
        moved = False
        for name in list(world.running):
            if name not in world.running:
                continue
            before = dict(world.warehouse.rows) if name == "loader" else None
            done = _step(world, name, 0.999)
            world.now_ms += 7
            moved |= done != "idle"
            _check_always(world, before)
        if not moved:
            return
    raise ViolationError(f"stalled: after {ROUNDS_MAX} rounds something still moves")


# The laws


def _check_always(world: World, before: dict[bytes, Document] | None) -> None:
    """The warehouse never goes back. `before`: its rows before a step that may have changed them."""
    if before is None:
        return
    for key, document in world.warehouse.rows.items():
        held = before.get(key)
        if held is document:
            continue
        if held is not None and document.rank < held.rank:
            raise ViolationError(f"stale overwrite: {key.decode()} went back to version {document.rank[0]}")
    if missing := before.keys() - world.warehouse.rows.keys():
        raise ViolationError(f"lost write: {missing} left the warehouse")


def _check_at_rest(world: World) -> None:
    """The union of everything that was appended stands in the rows; everything that was answered was appended."""
    union: dict[bytes, Any] = {}
    appended: set[str] = set()
    for key, value in world.events:
        event = _event(key, value)
        appended.add(event.push_id)
        union[key] = absorb(union.get(key, EMPTY), event).state
    letters = Counter(_letter(value).dead_letter_id for value in world.letters)
    lettered = {_letter(value).raw for value in world.letters}
    for push in world.pushes.values():
        if push.answered and push.name not in appended and push.raw not in lettered:
            raise ViolationError(f"lost write: {push.name} was answered ErrCode 0 and is in no topic")
    for key, state in union.items():
        held = world.warehouse.rows.get(key)
        if held is None:
            raise ViolationError(f"lost write: session {key.decode()} is in no row")
        document = project(*parse_session_key(key), state)
        if held.rank != _rank(key, document.public()):
            raise ViolationError(
                f"stale overwrite: session {key.decode()} stands at version {held.rank[0]}, not {document.version}"
            )
    if phantom := world.warehouse.rows.keys() - union.keys():
        raise ViolationError(f"phantom: {phantom} was never sent")
    if world.warehouse.seen != letters:
        raise ViolationError(f"dead letters were counted {dict(world.warehouse.seen)}, and came {dict(letters)}")


def _rank(key: bytes, public: dict[str, Any]) -> tuple[int, str]:
    value = jsontext.encode({"schema_version": 1, "version": public["version"], "session": public, "state": {}})
    return read_document(key, value).rank


# What is pushed


def invent(seed: int) -> list[Push]:
    """A few contents of two or three sessions, a corrected CDR among them, and something useless."""
    chance = random.Random(f"pushes:{seed}")
    pushes = []
    for number in range(chance.choice((1, 2, 3))):
        session = f"00000000-0000-4000-8000-00000000000{number}"
        told = [("cdr", _body("cdr", session, "first")), ("record", _body("record", session, "rec-a"))]
        told += chance.sample(
            [
                ("cdr", _body("cdr", session, "corrected")),
                ("record", _body("record", session, "rec-b")),
                ("voicemail", _body("voicemail", session, "")),
            ],
            chance.randrange(3),
        )
        pushes += [Push(f"{action}-{number}-{place}", action, raw) for place, (action, raw) in enumerate(told)]
    pushes.append(Push("useless", "cdr", b'{"SdkAppId": 1400000001'))
    chance.shuffle(pushes)
    return pushes


@lru_cache
def _body(action: str, session: str, what: str) -> bytes:
    match action:
        case "cdr":
            return body_of(a_cdr(SessionId=session, UserRemark=what))
        case "record":
            return body_of(a_record(SessionId=session, RecordId=what, RecordURL=f"https://example.com/{what}.mp3"))
        case _:
            return body_of(a_voicemail(SessionId=session))


# For people


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed whose schedule breaks a law: which, and the fewest steps that do."""

    seed: int
    message: str
    trace: list[str]

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        yield f"seed {self.seed}: {self.message}"
        yield from (f"  {number:3} {step}" for number, step in enumerate(self.trace, 1))


def try_seed(seed: int, broken: str | None = None) -> Failure | None:
    """Play one seed; where a law breaks, with the schedule cut down."""
    world = _begin(seed, broken)
    try:
        _drawn(world, seed)
        _end(world)
    except ViolationError:
        schedule = _cut_down(seed, world.played, broken)
        return _failure(seed, schedule, broken)
    return None


def _cut_down(seed: int, schedule: list[Played], broken: str | None) -> list[Played]:
    """Leave out ever smaller parts as long as some law still breaks."""
    size = len(schedule) // 2
    while size:
        at = 0
        while at < len(schedule):
            shorter = schedule[:at] + schedule[at + size :]
            if _failure(seed, shorter, broken) is not None:
                schedule = shorter
            else:
                at += size
        size //= 2
    return schedule


def _failure(seed: int, schedule: Sequence[Played], broken: str | None) -> Failure | None:
    world = _begin(seed, broken)
    try:
        _replayed(world, schedule)
        _end(world)
    except ViolationError as violation:
        return Failure(seed, str(violation), world.trace)
    return None


def main() -> int:
    """Many seeds; 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--break", dest="broken", choices=BREAKAGES, help="break the code; a seed must fail")
    arguments = parser.parse_args()
    begun = time.monotonic()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        failure = try_seed(seed, arguments.broken)
        if failure is not None:
            print("\n".join(failure.lines()))
            return 1
    print(f"{arguments.seeds} schedules of {STEPS} steps, every law held, {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
