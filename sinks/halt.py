"""The end of a program that must not go on: offsets stay where they are, the process exits non-zero, a person looks."""


class HaltError(Exception):
    """Nothing that could be done from here is safe. The message says what happened and what to do."""


class ConsecutiveLimit:
    """Stops the loader when nothing but unusable documents comes, so that a bad release cannot bin a whole topic."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._count = 0

    def check(self, unusable: list[bool]) -> None:
        """Raise HaltError if the documents (in order; True: unusable), seen after the settled ones, are too many."""
        count = self._count
        for is_unusable in unusable:
            count = count + 1 if is_unusable else 0
            if count > self._count_max:
                raise HaltError(
                    f"more than {self._count_max} session documents in a row were unusable: this looks like a bad "
                    "release of the worker or of the loader, not like bad data; nothing of them was stored"
                )

    def settle(self, unusable: list[bool]) -> None:
        """Count documents that are dealt with."""
        for is_unusable in unusable:
            self._count = self._count + 1 if is_unusable else 0
