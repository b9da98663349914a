"""What a trace from push to row asks of every room: one Kafka header, and somebody who records spans.

The rule: where nobody records (the default), a room is given no `Tracing`, looks at no header and sends none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

TRACE_HEADER: Final = "traceparent"
"""The Kafka record header: W3C trace context, as HTTP has it. Only traces that are recorded have one."""

Headers = Iterable[tuple[str, bytes]] | Mapping[str, bytes]


class Span(Protocol):
    """A stretch of work that has begun."""

    @property
    def context(self) -> bytes | None:
        """What TRACE_HEADER carries on; None where this trace is not recorded."""
        ...

    def end(self, **attributes: str | int | bool) -> None:
        """The work is done, and this is what came of it."""
        ...


class Tracing(Protocol):
    """Somebody who records spans."""

    def begin(
        self, name: str, *, parents: Sequence[bytes] = (), began_at: float | None = None, **attributes: str | int | bool
    ) -> Span:
        """Begin now, or at `began_at` (UNIX seconds). The last of `parents` is the parent; the others are linked."""
        ...


def context_in(headers: Headers | None) -> bytes | None:
    """The trace context that a record carries."""
    return dict(headers).get(TRACE_HEADER) if headers else None
