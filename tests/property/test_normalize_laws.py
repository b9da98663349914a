"""What holds for any push: normalization never raises and never loses, and spelling does not change what is said."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.normalize import Normalized, ReceivedPush, normalize
from ingest.query import read_query
from schemas.canonical import canonical, fields_of
from schemas.dead_letter import decode_letter
from schemas.events import WIRE_MODELS, EventKind, decode_event
from schemas.wire import Kind
from tests.support.pushes import EXAMPLE_NAMES, action_of_example, an_example

NOW = datetime(2026, 11, 24, 3, 55, tzinfo=UTC)

actions = st.none() | st.sampled_from(["cdr", "record", "voicemail", "CDR", "imcdr"]) | st.text(max_size=5)
header_texts = st.text(st.characters(max_codepoint=0xDCFF), max_size=20)
headers = st.dictionaries(
    st.sampled_from(["X-TCCC-PUSH-UUID", "x-tccc-push-uuid", "Content-Encoding", "Host", "Authorization"]),
    header_texts | st.sampled_from(["gzip", "deflate", "br"]),
)
numbers = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
odd_texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["", "0", "12", " 7 ", "1.0", "1e5", "\x00", "\ud800"]
)
scalars = st.none() | st.booleans() | numbers | odd_texts
field_names = st.sampled_from(sorted({name for model in WIRE_MODELS.values() for name in fields_of(model)}))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(field_names | st.text(st.characters(), max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
empties = st.sampled_from([None, "", [], {}, {"a": None}, [[], {}], {"b": {"c": ""}}])
examples = st.sampled_from(EXAMPLE_NAMES)


def received(raw: bytes, action: str | None, sent: dict[str, str] | None = None) -> Normalized:
    return normalize(ReceivedPush.of(raw, headers=sent or {}, action=action, received_at=NOW), body_bytes_max=100_000)


def check_sound(normalized: Normalized, raw: bytes) -> None:
    """An event or a letter; each survives its own encoding; the letters are whole; TCCC is told of a lack only."""
    assert normalized.event is not None or normalized.letters
    assert (normalized.message == "") == (normalized.event is not None)
    assert json.dumps(normalized.message).isascii()
    normalized.message.encode()
    if normalized.event is not None:
        assert decode_event(normalized.event.key, normalized.event.encoded()) == normalized.event
        assert 0 < len(normalized.event.push_id) <= 128
    for letter in normalized.letters:
        assert decode_letter(letter.encoded()) == letter
        assert letter.raw == raw
        assert "authorization" not in {name.casefold() for name in letter.headers}


@given(st.binary(max_size=200), actions, headers)
def test_any_bytes_give_an_event_or_a_letter(raw: bytes, action: str | None, sent: dict[str, str]) -> None:
    check_sound(received(raw, action, sent), raw)


@given(values, actions, headers, st.booleans())
def test_any_json_gives_an_event_or_a_letter(
    value: Any,
    action: str | None,
    sent: dict[str, str],
    is_gzipped: bool,
) -> None:
    raw = json.dumps(value).encode()
    raw = gzip.compress(raw) if is_gzipped else raw

    check_sound(received(raw, action, sent), raw)


@given(examples, st.dictionaries(field_names, values, max_size=4), actions)
def test_any_mutated_example_gives_an_event_or_a_letter(name: str, changes: dict[str, Any], action: str | None) -> None:
    raw = json.dumps({**an_example(name), **changes}).encode()

    check_sound(received(raw, action), raw)


@given(examples, st.data())
def test_an_example_with_broken_bytes_gives_an_event_or_a_letter(name: str, data: st.DataObject) -> None:
    whole = bytearray(json.dumps(an_example(name)).encode())
    start = data.draw(st.integers(0, len(whole)))
    whole[start : start + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))

    check_sound(received(bytes(whole), data.draw(actions)), bytes(whole))


@given(st.sampled_from(EventKind), st.dictionaries(field_names | st.text(st.characters(), max_size=4), values))
def test_the_canonical_form_of_a_canonical_form_is_itself(kind: EventKind, payload: dict[str, Any]) -> None:
    once = canonical(WIRE_MODELS[kind], payload)

    assert canonical(WIRE_MODELS[kind], once) == once


def said(payload: Any, name: str) -> tuple[str, dict[str, Any]]:
    normalized = received(
        payload if isinstance(payload, bytes) else json.dumps(payload).encode(), action_of_example(name)
    )
    assert normalized.event is not None
    return normalized.event.digest, normalized.event.payload


@given(examples, st.dictionaries(st.text(st.characters(), max_size=6), empties, max_size=5))
def test_adding_empties_is_no_new_report(name: str, added: dict[str, Any]) -> None:
    example = an_example(name)

    assert said({**added, **example}, name) == said(example, name)


@given(examples, st.data())
def test_numbers_sent_as_text_are_no_new_report(name: str, data: st.DataObject) -> None:
    example = an_example(name)
    known = fields_of(WIRE_MODELS[EventKind(action_of_example(name))])
    numeric = {Kind.NUMBER, Kind.NUMBER_ID, Kind.SECONDS, Kind.TIME}
    candidates = [field for field, wire in known.items() if wire.kind in numeric and field in example]
    chosen = data.draw(st.sets(st.sampled_from(candidates)))
    as_text = {field: str(value) if field in chosen else value for field, value in example.items()}

    assert said(as_text, name) == said(example, name)


@given(examples, st.data())
def test_the_order_of_members_is_no_new_report(name: str, data: st.DataObject) -> None:
    example = an_example(name)
    shuffled = dict(data.draw(st.permutations(list(example.items()))))

    assert said(shuffled, name) == said(example, name)


@given(examples, st.data(), scalars)
def test_the_last_of_duplicate_keys_counts(name: str, data: st.DataObject, earlier: Any) -> None:
    example = an_example(name)
    field = data.draw(st.sampled_from(sorted(example)))
    doubled = f"{{{json.dumps(field)}:{json.dumps(earlier)},".encode() + json.dumps(example).encode()[1:]

    assert said(doubled, name) == said(example, name)


@given(st.text(st.characters(), max_size=60) | st.text("&;?=%+aAtokenaction01", max_size=60))
def test_any_query_is_read(raw: str) -> None:
    query = read_query(raw)

    assert query.action is None or query.action.strip()
