"""Records of topics whose rows are one table each: what they have in common.

Each model is the value of a compacted topic of its own and a row of the table of the same name (`schemas.records`). The
rule: of two records with one key, the one that was asked for later counts, so they may come twice and in any order.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from schemas import jsontext
from schemas.models import Instant, OwnModel, SdkAppId, instant_ms

KEYED_SCHEMA_VERSION: Final = 1

KEY_CHARACTERS_MAX: Final = 512
"""Of a text in a key: a warehouse's index has a limit, and no id or mail comes near."""

SessionId = Annotated[str, Field(min_length=1, max_length=KEY_CHARACTERS_MAX)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Whole = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class KeyedRecord(OwnModel):
    """What all of them have in common. `KEY` names the fields that identify a row, the application's id first."""

    KEY: ClassVar[tuple[str, ...]]
    INTERNAL: ClassVar[frozenset[str]] = frozenset()
    """Fields that are callweave's own, and in no table."""

    schema_version: Literal[1] = KEYED_SCHEMA_VERSION
    sdk_app_id: SdkAppId = Field(description="TCCC's application id")
    asked_at: Instant = Field(description="The moment before the API was asked; the later answer counts")

    @property
    def key(self) -> bytes:
        """The Kafka key: the fields of `KEY` with a tab between, which no mail and no id holds; times in ms."""
        values = (getattr(self, name) for name in self.KEY)
        return "\t".join(str(instant_ms(value) if hasattr(value, "tzinfo") else value) for value in values).encode()

    def encoded(self) -> bytes:
        """The Kafka value."""
        return jsontext.encode(self.model_dump(mode="json"))
