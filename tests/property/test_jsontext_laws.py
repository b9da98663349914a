"""What `schemas.jsontext` reads is what the standard library reads, whichever of its two readers answers."""

import json

from hypothesis import given
from hypothesis import strategies as st

from schemas import jsontext

EDGES = [2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**19, 10**20, -(2**63), -(2**63) - 1, -(10**19), 10**18, -(10**18)]
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(),
    st.sampled_from(EDGES),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    st.one_of(numbers, st.text(), st.none(), st.booleans(), numbers.map(str)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)


def typed(value):
    """A value with the types of its numbers, because 1 == 1.0."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value), value


@given(values)
def test_every_number_reads_as_the_standard_library_reads_it(value):
    text = json.dumps(value)

    assert typed(jsontext.decode(text.encode())) == typed(json.loads(text))


@given(values)
def test_what_is_encoded_is_read_back(value):
    encodable = json.loads(json.dumps(value, ensure_ascii=True).replace("\\ud", "\\u0"))

    assert typed(jsontext.decode(jsontext.encode(encodable))) == typed(encodable)
