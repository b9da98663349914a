"""What the loader and `rebuild` may lay down, from the settings: the suppression list as it is known, and the masks.

The rule: a warehouse holds numbers or tokens of one key, never both: the two would be two people.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from callweave.reading import Questions
from callweave.settings import MisconfiguredError, Settings
from callweave.suppression_list import SuppressionList, person_key, read_list
from schemas.masks import NumberMasks
from schemas.person import ERASED, MASKED, number_identity
from sinks.discretion import Discretion
from sinks.halt import HaltError
from sinks.sink import Reader

_COLUMNS = ("sessions.customer_number", "sessions.caller", "sessions.callee", "recordings.endpoint_user")
_LOOKED_AT = 200

Ask = Callable[[str], Iterable[Any]]
"""Runs one SELECT; its rows."""


def masks_of(settings: Settings) -> NumberMasks | None:
    """The masks, where numbers are masked."""
    key = person_key(settings)
    return NumberMasks(key) if settings.privacy.mask_numbers and key is not None else None


def standing_numbers(ask: Ask) -> tuple[str | None, str | None]:
    """A token and a number that stand in the warehouse, as far as they do: of the first rows of each column."""
    token = number = None
    for place in _COLUMNS:
        table, _, column = place.partition(".")
        masked = f"SELECT {column} FROM {table} WHERE {column} LIKE '{MASKED}%' LIMIT 1"  # noqa: S608 - our own names
        plain = (
            f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL AND {column} NOT LIKE '{MASKED}%' "  # noqa: S608
            f"AND {column} NOT LIKE '{ERASED}%' LIMIT {_LOOKED_AT}"
        )
        token = token or next((str(row[0]) for row in ask(masked)), None)
        # Masks leave what is no phone number: "anonymous", an extension.
        number = number or next((str(row[0]) for row in ask(plain) if number_identity(str(row[0])) is not None), None)
    return token, number


def mask_problem(masks: NumberMasks | None, token: str | None, number: str | None) -> str | None:
    """Why this warehouse must not be written with these masks, in a sentence."""
    if masks is None and token is not None:
        return (
            "the numbers in this warehouse are masked and PRIVACY__MASK_NUMBERS is off: set it, "
            "or name an empty warehouse"
        )
    if masks is not None and token is not None and not token.startswith(f"{MASKED}{masks.key.id}:"):
        return (
            f"the numbers in this warehouse were masked with the key {token[len(MASKED) :].partition(':')[0]}, and "
            "PRIVACY__KEY is another: set that key, or name an empty warehouse"
        )
    if masks is not None and number is not None:
        return (
            "the numbers in this warehouse are not masked and PRIVACY__MASK_NUMBERS is on: unset it, or name an empty "
            "warehouse and fill it with `callweave rebuild`"
        )
    return None


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
            problem = mask_problem(self.masks, *standing_numbers(lambda sql: self.warehouse.query(sql).rows))
            if problem is not None:
                raise HaltError(problem)
            self._is_checked = True
        return Discretion(suppressions, self.masks)


def discretion_of(settings: Settings) -> Discretion:
    """The same for a command that ends soon."""
    return Discretion(asyncio.run(read_list(settings)).suppressions, masks_of(settings))


def check_masks(settings: Settings, questions: Questions) -> None:
    """Raise MisconfiguredError where a command would mix numbers and tokens."""
    problem = mask_problem(masks_of(settings), *standing_numbers(lambda sql: questions.ask(sql).rows))
    if problem is not None:
        raise MisconfiguredError(problem)
