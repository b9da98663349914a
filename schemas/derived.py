"""Every derived value of a session, defined once (contract.md part 5); every room asks here.

Times are in milliseconds since 1970, as `schemas.canonical.read` gives them.
"""

DIRECTIONS = {0: "inbound", 1: "outbound"}
CALL_TYPES = {1: "outbound", 2: "inbound", 3: "audio_inbound", 5: "predictive_outbound", 6: "internal"}

_SECOND_MS = 1000


def direction_text(number: int | None) -> str | None:
    """'inbound', 'outbound', else the number as text; nothing is guessed."""
    return None if number is None else DIRECTIONS.get(number, str(number))


def call_type_text(number: int | None) -> str | None:
    """The call type's name, else the number as text; nothing is guessed."""
    return None if number is None else CALL_TYPES.get(number, str(number))


def seconds_between(start_ms: int | None, end_ms: int | None) -> int | None:
    """Whole seconds from start to end; None where either is missing or the duration would be negative."""
    if start_ms is None or end_ms is None or end_ms < start_ms:
        return None
    return (end_ms - start_ms) // _SECOND_MS


def talk_seconds(answered_ms: int | None, ended_ms: int | None) -> int | None:
    """Ended minus answered, if answered."""
    return seconds_between(answered_ms, ended_ms)


def wait_seconds(queued_ms: int | None, answered_ms: int | None, ended_ms: int | None) -> int | None:
    """Answered, else ended, minus queued, if queued."""
    return seconds_between(queued_ms, answered_ms if answered_ms is not None else ended_ms)


def customer_and_line(
    direction: str | None, call_type: str | None, caller: str | None, callee: str | None
) -> tuple[str | None, str | None]:
    """(customer, line): the customer is the caller of an inbound call, the callee of an outbound one.

    Both None for internal calls and any other direction.
    """
    if call_type == "internal":
        return None, None
    match direction:
        case "inbound":
            return caller, callee
        case "outbound":
            return callee, caller
        case _:
            return None, None


def is_missing(*, is_expected: bool, received_at: object, absent_at: object) -> bool:
    """A recording that a CDR named, that has not come, and that the API does not say is absent."""
    return is_expected and received_at is None and absent_at is None
