"""Builders of pushes as TCCC sends them: the example files of `schemas/examples`, with one visible difference."""

import json
from pathlib import Path
from typing import Any

EXAMPLES_DIR = Path(__file__).parents[2] / "schemas" / "examples"
EXAMPLE_NAMES = tuple(sorted(path.stem for path in EXAMPLES_DIR.glob("*.json")))


def an_example(name: str) -> dict[str, Any]:
    """The payload of one example file."""
    payload: dict[str, Any] = json.loads((EXAMPLES_DIR / f"{name}.json").read_text(encoding="utf-8"))
    return payload


def action_of_example(name: str) -> str:
    """The action that an example is pushed with."""
    return name.partition("_")[0]


def a_cdr(**changes: Any) -> dict[str, Any]:
    """An inbound call that was answered."""
    return {**an_example("cdr_inbound_answered"), **changes}


def a_record(**changes: Any) -> dict[str, Any]:
    """The recording of that call's agent."""
    return {**an_example("record_agent"), **changes}


def a_voicemail(**changes: Any) -> dict[str, Any]:
    """A message left in another session."""
    return {**an_example("voicemail"), **changes}


def without(payload: dict[str, Any], *names: str) -> dict[str, Any]:
    """The payload without some of its fields."""
    return {name: value for name, value in payload.items() if name not in names}


def body_of(payload: Any) -> bytes:
    """A payload as TCCC writes it: UTF-8, members in their order."""
    return json.dumps(payload, ensure_ascii=False).encode()
