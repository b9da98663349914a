"""`callweave topics revive`: what a worker's disk knows of the sessions, into a sessions topic that lost it.

The rule: only a folder that no worker works on is read, and nothing in it is changed. A record adds to what the topic
says of a session and never replaces it: who restores from the topic unites both.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import rocksdict

from callweave.kafka import plain_producer
from callweave.log_identity import read_log_identity
from callweave.settings import MisconfiguredError, Settings
from callweave.topics import problems_of_topics
from schemas.topics import SESSIONS
from streams.core.fold import record_of_stored
from streams.engine.state_dir import StateDirectory, StateHeldError

Progress = Callable[[str, int, int], None]
_RECORDS_AT_ONCE = 1_000
_MARKER: Final = "belongs-to.json"
_STORE: Final = re.compile(r"(?P<name>sessions-\d+\.db)(?P<aside>\.set-aside-.+)?")


async def revive_sessions(settings: Settings, state_dir: Path, progress: Progress) -> int:
    """Publish every session of a worker's folder; how many. Twice adds nothing to any session."""
    if problems := await problems_of_topics(settings):
        raise MisconfiguredError(f"the topics are not as they must be (callweave topics apply): {problems}")
    _hold(state_dir)
    stores = stores_of_another_log(state_dir, (await read_log_identity(settings)).as_marker())
    topic = SESSIONS.name(settings.kafka.topic_prefix)
    published = 0
    async with plain_producer(settings) as producer:
        for number, store in enumerate(stores):
            sent = []
            for key, stored in _sessions_in(store):
                sent.append(await producer.send(topic, record_of_stored(key, stored), key))
                if len(sent) >= _RECORDS_AT_ONCE:
                    published += await _acknowledged(sent)
            published += await _acknowledged(sent)
            progress(f"reviving {topic}", number + 1, len(stores))
    return published


def _hold(state_dir: Path) -> None:
    """Keep workers out for as long as this process lives."""
    if not state_dir.is_dir():
        raise MisconfiguredError(f"there is no directory {state_dir}")
    try:
        StateDirectory(state_dir).hold(seconds_max=0)
    except StateHeldError as exc:
        raise MisconfiguredError(f"a worker works on {state_dir}: stop all workers first ({exc})") from exc


def stores_of_another_log(state_dir: Path, marker: dict[str, Any]) -> list[Path]:
    """The stores that were built from the topic that is lost: in use, or, where a worker began anew, set aside last."""
    found: dict[str, Path] = {}
    for folder in {path.parent for path in state_dir.rglob(_MARKER)}:
        is_begun_anew = json.loads((folder / _MARKER).read_text(encoding="utf-8")) == marker
        for path in sorted(folder.iterdir()):  # the names tell the time: the last one stays
            store = _STORE.fullmatch(path.name)
            if store is not None and bool(store["aside"]) is is_begun_anew:
                found[f"{folder}/{store['name']}"] = path
    if not found:
        raise MisconfiguredError(
            f"{state_dir} holds no state of another sessions topic than the present one: name the state directory "
            "(WORKER__STATE_DIR, or DATA_DIR/state) of a worker that ran before the topic was lost"
        )
    return list(found.values())


def _sessions_in(store: Path) -> Iterator[tuple[bytes, bytes]]:
    db: Any = rocksdict.Rdict(
        str(store), rocksdict.Options(raw_mode=True), access_type=rocksdict.AccessType.read_only()
    )
    with closing(db):
        for key, stored in db.items():
            if key[:1].isdigit():  # beside the sessions lie Faust's offset and the index of dates
                yield key, stored


async def _acknowledged(sent: list[Any]) -> int:
    count = len(sent)
    for one in sent:
        await one
    sent.clear()
    return count
