"""schemathesis against the receiver, by the OpenAPI document that it serves: a bounded number of requests in CI."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client import CollectorRegistry

from ingest.access import Credentials, authenticator_of
from ingest.guard import Access
from ingest.openapi import openapi_document
from ingest.receiver import Receiver, ReceiverOptions
from tests.support.door import a_door
from tests.support.push_log import MemoryPushLog

EXAMPLES = 150
AUTH: dict[str, Any] = {"auth": "basic", "username": "tccc", "password": "correct", "url_token": "t0ken"}


@contextmanager
def a_receiver(**options: Any) -> Iterator[tuple[str, ReceiverOptions]]:
    """A receiver in a thread of its own; its address without the path."""
    credentials = Credentials(**options)
    chosen = ReceiverOptions(port=0, body_bytes_max=4096)
    started: list[Any] = []
    ready = threading.Event()

    async def serve() -> None:
        access = Access(authenticator_of(credentials), failed_attempts_per_minute_max=1_000_000)
        door = a_door(MemoryPushLog(), CollectorRegistry(), options=chosen, access=access)
        receiver = Receiver(door)
        await receiver.start()
        stop = asyncio.Event()
        started.extend([receiver.url, asyncio.get_running_loop(), stop])
        ready.set()
        await stop.wait()
        await receiver.stop(1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    url, loop, stop = started
    yield url.removesuffix(chosen.path), chosen
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)


def fuzz(base_url: str, document: dict[str, Any], **call: Any) -> list[int]:
    """Generate requests by the document, and check every answer against it; the statuses that came."""
    schema = schemathesis.openapi.from_dict(document)
    operation = schema["/tccc/push"]["POST"]
    statuses: list[int] = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        response = case.call(base_url=base_url, timeout=10, **call)
        statuses.append(response.status_code)
        case.validate_response(response)

    check()
    return statuses


def test_every_answer_to_an_authentic_push_is_as_the_document_says() -> None:
    with a_receiver() as (base_url, options):
        statuses = fuzz(base_url, openapi_document(options))

    assert len(statuses) >= EXAMPLES / 2
    assert set(statuses) <= {200, 400, 413}
    assert 200 in statuses


def test_every_answer_to_a_stranger_is_as_the_document_says() -> None:
    with a_receiver(**AUTH) as (base_url, options):
        statuses = fuzz(base_url, openapi_document(options))

    assert set(statuses) <= {400, 401}
    assert 401 in statuses


def test_the_document_names_what_is_asked_for() -> None:
    document = openapi_document(ReceiverOptions(path="/p"), [Credentials(**AUTH)])

    assert document["paths"]["/p"]["post"]["security"] == [{"basic": (), "url_token": ()}]
    assert openapi_document(ReceiverOptions())["paths"]["/tccc/push"]["post"]["security"] == []
    assert "correct" not in str(document)
    assert "t0ken" not in str(document)


@pytest.mark.parametrize("wrong", ["status", "shape"])
def test_a_document_that_is_wrong_is_found_out(wrong: str) -> None:
    with a_receiver() as (base_url, options):
        document = openapi_document(options)
        if wrong == "status":
            del document["paths"]["/tccc/push"]["post"]["responses"]["200"]
        else:
            document["components"]["schemas"]["Answer"]["required"] = ["ErrCode", "Other"]
        with pytest.raises((AssertionError, BaseExceptionGroup)):
            fuzz(base_url, document)
