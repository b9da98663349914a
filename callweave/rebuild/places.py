"""Where a rebuild reads and writes: the warehouse itself, or the loader that owns it.

The rule: DuckDB's file and a Parquet folder belong to one process, and in a lake two writers only get in each other's
way. While their loader runs, it is asked to lay the corrections down; servers are written beside it, and rank decides.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Protocol, TypeVar

from callweave.reading import DirectQuestions, LoaderQuestions, Questions, ask_loader
from callweave.rebuild.wire import corrected_from_json, corrections_to_json
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import Settings
from callweave.warehouses import sink_of
from sinks.backoff import delays
from sinks.correcting import Corrected, Correction, correct
from sinks.discretion import OPEN, Discretion
from sinks.rows import VersionsOf
from sinks.sink import Sink, SinkUnavailableError

_ONE_WRITER: Final = ("duckdb:", "parquet:", "ducklake:")
_ANSWER_SECONDS: Final = 600.0
_ATTEMPTS: Final = 5
"""Some seconds for each part of a batch: a server fails over, the loader of a lake commits meanwhile."""
_LAST_ATTEMPTS: Final = 25
"""About a minute for what cannot be halved any more: beside a loader that never rests, its turn comes by chance."""

_T = TypeVar("_T")


class Place(Protocol):
    """A warehouse that can be asked and corrected."""

    @property
    def questions(self) -> Questions:
        """Whom to ask."""

    def correct(self, corrections: Sequence[Correction]) -> Corrected:
        """Lay them down."""


@dataclass(frozen=True, slots=True)
class OwnPlace:
    """The warehouse, opened by this process."""

    sink: Sink
    versions_of: VersionsOf | None
    questions: Questions
    discretion: Discretion = OPEN

    def correct(self, corrections: Sequence[Correction]) -> Corrected:
        """In a batch of their own; tried again while the warehouse is busy or away, and then in halves."""
        attempt = partial(correct, self.sink, corrections, self.versions_of, self.discretion)
        if len(corrections) == 1:
            return patiently(attempt, _LAST_ATTEMPTS)
        try:
            return patiently(attempt)
        except SinkUnavailableError:
            # Between two commits of a busy loader of a lake, only a short transaction finds its place.
            middle = len(corrections) // 2
        first, second = self.correct(corrections[:middle]), self.correct(corrections[middle:])
        return Corrected(first.applied | second.applied, {**first.refused, **second.refused})


@dataclass(frozen=True, slots=True)
class LoadersPlace:
    """The warehouse of a running loader."""

    loader: RoleEntry
    questions: Questions

    def correct(self, corrections: Sequence[Correction]) -> Corrected:
        """By the loader, between two of its batches."""
        asked = {"corrections": corrections_to_json(corrections)}
        answer = patiently(
            partial(ask_loader, self.loader, "/corrections", asked, seconds_max=_ANSWER_SECONDS),
        )
        return corrected_from_json(answer)


@contextmanager
def opened_place(settings: Settings, versions_of: VersionsOf | None, discretion: Discretion = OPEN) -> Iterator[Place]:
    """The warehouse of the settings; created where it was lost."""
    loader = Runtime(settings.data_dir).role("loader")
    has_one_writer = settings.warehouse_url.startswith(_ONE_WRITER)
    if has_one_writer and loader is not None and loader.admin_url is not None:
        yield LoadersPlace(loader, LoaderQuestions(loader))
        return
    sink = sink_of(settings)
    try:
        sink.open()
        yield OwnPlace(sink, versions_of, DirectQuestions(sink), discretion)
    finally:
        sink.close()


def patiently(attempt: Callable[[], _T], attempts: int = _ATTEMPTS) -> _T:
    """Repeat what a busy warehouse fails at; its SinkUnavailableError when it stays so."""
    for delay in islice(delays(0.25, 4.0), attempts - 1):
        try:
            return attempt()
        except SinkUnavailableError:
            time.sleep(delay)
    return attempt()
