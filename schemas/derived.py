"""Every derived value of a session, defined once (contract.md part 5); every room asks here."""

from datetime import datetime, timedelta

DIRECTIONS = {0: "inbound", 1: "outbound"}
CALL_TYPES = {1: "outbound", 2: "inbound", 3: "audio_inbound", 5: "predictive_outbound", 6: "internal"}

_SECOND = timedelta(seconds=1)


def direction_text(number: int | None) -> str | None:
    """'inbound', 'outbound', else the number as text; nothing is guessed."""
    return None if number is None else DIRECTIONS.get(number, str(number))


def call_type_text(number: int | None) -> str | None:
    """The call type's name, else the number as text; nothing is guessed."""
    return None if number is None else CALL_TYPES.get(number, str(number))


def seconds_between(start: datetime | None, end: datetime | None) -> int | None:
    """Whole seconds from start to end; None where either is missing or the duration would be negative."""
    if start is None or end is None or end < start:
        return None
    return (end - start) // _SECOND


def talk_seconds(answered_at: datetime | None, ended_at: datetime | None) -> int | None:
    """Ended minus answered, if answered."""
    return seconds_between(answered_at, ended_at)


def wait_seconds(queued_at: datetime | None, answered_at: datetime | None, ended_at: datetime | None) -> int | None:
    """Answered, else ended, minus queued, if queued."""
    return seconds_between(queued_at, answered_at if answered_at is not None else ended_at)


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


def is_missing(*, is_expected: bool, received_at: datetime | None, absent_at: datetime | None) -> bool:
    """A recording that a CDR named, that has not come, and that the API does not say is absent."""
    return is_expected and received_at is None and absent_at is None
