"""`callweave snapshot`: a copy of the DuckDB warehouse for other processes, whether or not the loader runs."""

from dataclasses import replace
from pathlib import Path

from callweave.reading import ask_loader
from callweave.runtime import Runtime
from callweave.settings import Settings
from callweave.warehouses import sink_of
from sinks.sink import MisconfiguredError, SinkUnavailableError
from sinks.snapshot import Embedded, Snapshot, SnapshotError, Snapshots, publish_copy
from sinks.warehouse import open_reader

SECONDS_MAX = 600.0


def publish_snapshot(settings: Settings, to: Path | None) -> Snapshot:
    """Publish a copy at the settings' place, and another at `to` if it is given; SinkUnavailableError where not."""
    loader = Runtime(settings.data_dir).role("loader")
    if loader is not None and loader.admin_url is not None:
        answer = ask_loader(loader, "/snapshot", {}, seconds_max=SECONDS_MAX)
        snapshot = Snapshot(Path(answer["path"]), answer["bytes_count"], answer["seconds"])
    else:
        snapshot = _of_a_resting_warehouse(settings)
    if to is None:
        return snapshot
    try:
        return replace(snapshot, path=to, bytes_count=publish_copy(snapshot.path, to))
    except OSError as exc:
        raise SinkUnavailableError(f"{to} cannot be written: {exc.strerror or exc}") from exc


def _of_a_resting_warehouse(settings: Settings) -> Snapshot:
    open_reader(settings.warehouse_url, data_dir=settings.data_dir).close()  # says so where there is no warehouse yet
    sink = sink_of(settings)
    if not isinstance(sink, Embedded):
        raise MisconfiguredError("this warehouse answers many readers by itself: connect to it, no copy is needed")
    try:
        sink.open()
        return Snapshots(sink, settings.snapshot_file, 0).publish()
    except SnapshotError as exc:
        raise SinkUnavailableError(str(exc)) from exc
    finally:
        sink.close()
