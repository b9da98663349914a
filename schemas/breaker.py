"""The circuit breaker of worker and loader: too many records that leave a letter and no row stop the role.

One bad record is data, nothing but bad records is a bad release. The rule is here because it says what a stream of
dead letters means, in both rooms alike, and those meet nowhere else. Pure: it counts, and whoever asks it halts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """How much is too much: more than so many in a row, or more than so many percent of a full window of records."""

    in_a_row_max: int = 1_000
    percent_max: float = 50.0
    window_records: int = 10_000


@dataclass(frozen=True, slots=True)
class Breaker:
    """What was counted. The outcome does not depend on how the records were cut into batches.

    The window is one byte a record (1: it left no row), the newest last.
    """

    limits: BreakerLimits = BreakerLimits()
    in_a_row: int = 0
    window: bytes = b""
    tripped: str | None = None
    """Why the role must stop, with the facts and what to do; None while it may go on."""

    def after(self, without_row: Sequence[bool]) -> "Breaker":
        """The breaker after further records, in order; True: a dead letter and no row. A tripped one stays so."""
        if self.tripped is not None:
            return self
        size = self.limits.window_records
        seen = self.window + bytes(without_row)
        if not any(without_row):
            # Fewer bad ones than before cannot trip it.
            in_a_row = 0 if without_row else self.in_a_row
            if len(seen) < size or len(self.window) == size:
                return replace(self, in_a_row=in_a_row, window=seen[-size:])
        in_a_row, bad = self.in_a_row, sum(self.window)
        for end in range(len(self.window) + 1, len(seen) + 1):
            is_bad = seen[end - 1]
            in_a_row = in_a_row + 1 if is_bad else 0
            bad += is_bad - (seen[end - size - 1] if end > size else 0)
            if in_a_row > self.limits.in_a_row_max:
                return replace(self, tripped=self._sentence(f"{in_a_row} records in a row"))
            if end >= size and bad * 100 > self.limits.percent_max * size:
                return replace(self, tripped=self._sentence(f"{bad} of the last {size} records"))
        return replace(self, in_a_row=in_a_row, window=seen[-size:])

    def _sentence(self, what: str) -> str:
        return (
            f"{what} could not be used, which looks like a bad release or a stranger in our topics and not like bad "
            "data: their offsets are unmoved and no letters were written about the last of them. Look at `callweave "
            "dead-letters list --counts`; go back to the release before, or mend what writes; then start this role "
            "again. If the data really is that bad, raise DEAD_LETTERS__IN_A_ROW_MAX or DEAD_LETTERS__PERCENT_MAX"
        )
