"""Records of the sessions topic, read without their state: the same is read as with it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.columns import SESSION_VERSIONS
from sinks.rows import Document, NotADocumentError, SessionKey, lay_out, read_document
from tests.support.sessions import APP, a_leg, a_session, public_record, session_record

WORDS = ',"state":{'
JSON = st.recursive(
    st.none() | st.integers(-(2**70), 2**70) | st.sampled_from([WORDS, '"state":{', "}", '"']) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["state", "x", WORDS]), inner),
    max_leaves=6,
)


def read_whole(key: bytes, value: bytes) -> Document:
    """The way that parses the state, too."""
    document = read_document(key, value, lambda _, __: [])
    body = {name: said for name, said in document.body.items() if name != SESSION_VERSIONS.name}
    return Document(document.key, document.version, document.digest, body)


def outcome(read: Any, key: bytes, value: bytes) -> Document | str:
    try:
        document: Document = read(key, value)
    except NotADocumentError as exc:
        return str(exc)
    return document


@given(extra=st.dictionaries(st.sampled_from(["state", "a", WORDS]), JSON), state=st.dictionaries(st.text(), JSON))
def test_whatever_a_document_and_its_state_hold_the_same_is_read_without_the_state(extra, state):
    key, value = public_record({**a_session(version=7).public(), "extra": extra, "state": extra}, **state)
    assert outcome(read_document, key, value) == outcome(read_whole, key, value)


def another_order(envelope: dict[str, Any]) -> bytes:
    return orjson.dumps({name: envelope[name] for name in ("state", "session", "version", "schema_version")})


def another_version(envelope: dict[str, Any]) -> bytes:
    return orjson.dumps({**envelope, "version": "8"}, option=orjson.OPT_SORT_KEYS)


def spaced(envelope: dict[str, Any]) -> bytes:
    return orjson.dumps(envelope, option=orjson.OPT_INDENT_2)


def cut_short(envelope: dict[str, Any]) -> bytes:
    return orjson.dumps(envelope, option=orjson.OPT_SORT_KEYS)[:-15]


def no_state(envelope: dict[str, Any]) -> bytes:
    return orjson.dumps({"session": envelope["session"]})


def no_session(envelope: dict[str, Any]) -> bytes:
    return orjson.dumps({**envelope, "session": [1]}, option=orjson.OPT_SORT_KEYS)


@pytest.mark.parametrize("spelt", [another_order, another_version, spaced, cut_short, no_state, no_session])
def test_what_the_worker_does_not_write_so_is_read_whole(spelt):
    key, value = session_record(a_session(version=7), reports={"a": 1})
    assert (key, value) != (key, spelt(orjson.loads(value)))
    assert outcome(read_document, key, spelt(orjson.loads(value))) == outcome(
        read_whole, key, spelt(orjson.loads(value))
    )


def test_a_state_costs_nothing_that_is_not_asked_for():
    key, value = session_record(a_session(version=7))
    assert value.endswith(b',"state":{},"version":"7"}')
    broken = value.replace(b'"state":{}', b'"state":{"a":nonsense}')
    assert read_document(key, broken) == read_document(key, value)
    assert "not JSON" in str(outcome(read_whole, key, broken))


def test_documents_of_an_older_callweave_lack_columns_and_are_laid_out_beside_new_ones():
    old, new = ({**a_session(name, uui="u", legs=[a_leg(1)]).public()} for name in ("s-1", "s-2"))
    del old["uui"], old["legs"][0]["agent_phone"]
    rows, unfit = lay_out(read_document(*public_record(document)) for document in (old, new))
    assert not unfit
    assert rows.tables["sessions"]["uui"].to_pylist() == [None, "u"]
    assert rows.tables["legs"]["session_id"].to_pylist() == ["s-1", "s-2"]


def test_rows_without_some_sessions_are_those_of_the_others():
    documents = [
        read_document(*session_record(a_session(f"s-{number}", legs=[a_leg(leg) for leg in range(number)])))
        for number in range(5)
    ]
    rows, _ = lay_out(documents)
    others, _ = lay_out(document for document in documents if document.key.session_id in ("s-0", "s-2", "s-4"))
    left = rows.without({SessionKey(APP, "s-1"), SessionKey(APP, "s-3"), SessionKey(APP, "unknown")})
    assert left.keys == others.keys
    assert {name: list(bounds) for name, bounds in left.bounds.items()} == {
        name: list(bounds) for name, bounds in others.bounds.items()
    }
    assert {name: table.to_pylist() for name, table in left.tables.items()} == {
        name: table.to_pylist() for name, table in others.tables.items()
    }
    assert rows.without(()) is rows
