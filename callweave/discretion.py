"""What the loader and `rebuild` may lay down, from the settings: the suppression list as it is known, and the masks.

The rule: a warehouse holds numbers or tokens of one key, never both: the two would be two people.
"""

import asyncio
from dataclasses import dataclass, field

from callweave.reading import Questions
from callweave.settings import MisconfiguredError, Settings
from callweave.suppression_list import SuppressionList, person_key, read_list
from schemas.masks import NumberMasks
from schemas.person import ERASED, MASKED
from sinks.discretion import Discretion
from sinks.halt import HaltError
from sinks.sink import Reader

STANDING_NUMBER = (
    "SELECT customer_number FROM sessions "  # noqa: S608 - a constant of our own
    f"WHERE customer_number IS NOT NULL AND customer_number NOT LIKE '{ERASED}%' LIMIT 1"
)


def masks_of(settings: Settings) -> NumberMasks | None:
    """The masks, where numbers are masked."""
    key = person_key(settings)
    return NumberMasks(key) if settings.privacy.mask_numbers and key is not None else None


def mask_problem(masks: NumberMasks | None, standing: str | None) -> str | None:
    """Why this warehouse must not be written with these masks, in a sentence; `standing` is a number in it."""
    if standing is None:
        return None
    prefix = None if masks is None else f"{MASKED}{masks.key.id}:"
    if prefix is None and standing.startswith(MASKED):
        return (
            "the numbers in this warehouse are masked and PRIVACY__MASK_NUMBERS is off: set it, "
            "or name an empty warehouse"
        )
    if prefix is None or standing.startswith(prefix):
        return None
    if standing.startswith(MASKED):
        return (
            f"the numbers in this warehouse were masked with the key {standing[len(MASKED) :].partition(':')[0]}, and "
            f"PRIVACY__KEY is another: set that key, or name an empty warehouse"
        )
    return (
        "the numbers in this warehouse are not masked and PRIVACY__MASK_NUMBERS is on: unset it, or name an empty "
        "warehouse and fill it with `callweave rebuild`"
    )


@dataclass(slots=True)
class LoadersDiscretion:
    """Asked by the loader for each haul; halts it where going on would store what must not be stored."""

    listed: SuppressionList
    masks: NumberMasks | None
    warehouse: Reader
    _is_checked: bool = field(default=False, init=False)

    def __call__(self) -> Discretion:
        """The list as of now."""
        try:
            suppressions = self.listed.now()
        except MisconfiguredError as exc:
            raise HaltError(str(exc)) from exc
        if not self._is_checked:
            rows = self.warehouse.query(STANDING_NUMBER).rows
            problem = mask_problem(self.masks, str(rows[0][0]) if rows else None)
            if problem is not None:
                raise HaltError(problem)
            self._is_checked = True
        return Discretion(suppressions, self.masks)


def discretion_of(settings: Settings) -> Discretion:
    """The same for a command that ends soon."""
    return Discretion(asyncio.run(read_list(settings)).suppressions, masks_of(settings))


def check_masks(settings: Settings, questions: Questions) -> None:
    """Raise MisconfiguredError where a command would mix numbers and tokens."""
    rows = questions.ask(STANDING_NUMBER).rows
    problem = mask_problem(masks_of(settings), str(rows[0][0]) if rows else None)
    if problem is not None:
        raise MisconfiguredError(problem)
