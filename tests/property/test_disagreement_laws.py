"""What holds for any two sides of a session: agreeing with oneself, no side before the other, and no order."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.session import FieldDisagreement
from streams.core.absorb import absorb
from streams.core.disagreements import NEVER_DISAGREE
from streams.core.project import project
from streams.core.state import EMPTY
from tests.property.strategies import cdr_payloads
from tests.support.events import APP, SESSION, an_event

unknown = st.dictionaries(
    st.sampled_from(["New", "Newer", "UserRemark"]),
    st.integers(-5, 5) | st.text(max_size=3) | st.lists(st.integers(0, 2), max_size=2) | st.booleans() | st.none(),
)
payloads = st.builds(lambda known, more: {**known, **more}, cdr_payloads, unknown)


def disagreements(pushed: list[Any], told: list[Any], *, backwards: bool = False) -> list[FieldDisagreement]:
    """Of a session of which these CDRs were pushed and told, each received a second after the one before."""
    sides = [("push", payload) for payload in pushed] + [("api", payload) for payload in told]
    events = [
        an_event("cdr", payload, source=source, push_id=f"{source}{at}", at=1000 * at)
        for at, (source, payload) in enumerate(sides)
    ]
    state = EMPTY
    for event in reversed(events) if backwards else events:
        state = absorb(state, event).state
    return project(APP, SESSION, state).field_disagreements


@given(payloads)
def test_who_says_the_same_never_disagrees(payload):
    assert disagreements([payload], [payload]) == []


@given(payloads, payloads)
def test_neither_side_comes_before_the_other(one, other):
    found, mirrored = disagreements([one], [other]), disagreements([other], [one])

    assert [(row.field, row.pushed_value, row.api_value) for row in found] == [
        (row.field, row.api_value, row.pushed_value) for row in mirrored
    ]


@given(st.lists(payloads, min_size=1, max_size=2), st.lists(payloads, min_size=1, max_size=2))
def test_the_order_of_work_does_not_matter_and_excused_fields_never_stand_there(pushed, told):
    found = disagreements(pushed, told)

    assert found == disagreements(pushed, told, backwards=True)
    assert not {row.field.rpartition(".")[2] for row in found} & NEVER_DISAGREE.keys()
    assert len({row.field for row in found}) == len(found)
    assert all(row.pushed_value or row.api_value for row in found)


@given(payloads)
def test_one_side_alone_never_disagrees(payload):
    assert disagreements([payload], []) == disagreements([], [payload]) == []
