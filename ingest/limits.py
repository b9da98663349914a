"""What one sender, and all of them together, may cost the door; docs/settings.md has the same names.

The rule: every bound has a default that TCCC's pushes stay far below, and what exceeds one is answered, not dropped.
"""

from dataclasses import dataclass

from schemas.jsontext import DEPTH_MAX

JSON_VALUES_MAX = 20_000
"""Members and items of one body; a call with a hundred legs has some two thousand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """Bytes, lines, seconds and numbers; `ReceiverOptions` bounds the body's own bytes and seconds."""

    header_bytes_max: int = 8190
    """Of the request line, and of each header."""

    header_lines_max: int = 128
    header_seconds_max: float = 15.0
    """From the first byte of a request, or from the connection, to the end of its headers."""

    request_seconds_max: float = 60.0
    """From the end of the headers, and a wait for room, to the answer: the body's arrival and the log included."""

    connections_max: int = 2000
    requests_in_flight_max: int = 256
    """More make each dearer, for memory is cold when its answer comes, and no answer sooner."""

    room_seconds_max: float = 1.0
    """How long a request waits to be one of them; then 503."""

    json_depth_max: int = DEPTH_MAX
    json_values_max: int = JSON_VALUES_MAX
