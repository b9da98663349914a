"""What several unit tests ask for."""

import pytest

from streams.engine import halt
from tests.support.engine import ProcessGoneError


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses the process ended with."""
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        raise ProcessGoneError

    monkeypatch.setattr(halt.os, "_exit", leave)
    monkeypatch.setattr(halt.logging, "shutdown", lambda: None)
    return statuses
