"""`up` refuses a wrong warehouse before anything starts, and says once where everything is."""

import asyncio
import multiprocessing
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from callweave import supervisor as supervising
from callweave.admin import AdminServer
from callweave.runtime import RoleEntry
from callweave.settings import AdminSettings, load_settings
from callweave.supervisor import PAGE, ROLES, Supervisor
from sinks.sink import MisconfiguredError
from tests.support.loading import until


async def test_an_address_of_no_warehouse_is_refused_in_the_same_words_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLWEAVE_WAREHOUSE__URL", "mysql://host/db")
    said: list[str] = []
    settings = load_settings(data_dir=tmp_path)
    supervisor = Supervisor(settings, config=None, say=said.append, ready=said.append)

    with pytest.raises(MisconfiguredError, match="WAREHOUSE__URL begins with 'mysql'"):
        await supervisor.run()
    assert said == []
    assert multiprocessing.active_children() == []


async def test_a_folder_that_cannot_be_made_is_told_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("CALLWEAVE_WAREHOUSE__URL", f"duckdb:///{tmp_path}/taken/warehouse.duckdb")
    supervisor = Supervisor(load_settings(data_dir=tmp_path), config=None, say=print, ready=print)

    with pytest.raises(FileExistsError, match="taken"):
        await supervisor.run()


async def test_what_runs_where_is_said_once_and_then_hardly_anybody_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "ANNOUNCE_LOOK_SECONDS", 0)
    monkeypatch.setattr(supervising, "ANNOUNCED_LOOK_SECONDS", 3600)
    said: list[str] = []
    supervisor = Supervisor(load_settings(data_dir=tmp_path), config=None, say=said.append, ready=said.append)
    looks = Mock(wraps=supervisor._runtime.roles)
    monkeypatch.setattr(supervisor._runtime, "roles", looks)
    admin = AdminServer(AdminSettings(port=0), not_ready_because=lambda: None)
    url = await admin.start()
    announcing = asyncio.create_task(supervisor._announce())
    page, push = "http://127.0.0.1:2/", "http://127.0.0.1:1/tccc/push"
    expected = sorted([*(f"{role}: health and metrics at {url}" for role in (*ROLES, PAGE)), f"the page: {page}", push])
    try:
        for role in (*ROLES, PAGE):
            addresses = {"receiver": {"push_url": push}, PAGE: {"page_url": page}}.get(role, {})
            supervisor._runtime.publish(role, RoleEntry(os.getpid(), admin_url=url, **addresses))
        await until(lambda: sorted(said) == expected)
        await turns(10)
        before = looks.call_count
        await turns(100)
        assert looks.call_count == before
        assert sorted(said) == expected
    finally:
        announcing.cancel()
        await admin.stop()


async def turns(count: int) -> None:
    """So many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)
