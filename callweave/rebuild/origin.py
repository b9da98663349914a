"""What a rebuild can fold from; by itself, for the command line reads it before it needs a store's library."""

from enum import StrEnum


class Origin(StrEnum):
    """What the sessions are folded from."""

    SESSIONS = "sessions"
    """The states in the sessions topic: of every session that is not retired."""
    RAW = "raw"
    """The event topics: of every report that they still hold (30 days, unless set otherwise)."""
