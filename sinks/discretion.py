"""What the loader may lay down: documents and letters without erased people, and with numbers masked where that is set.

The rule: this is the one place where a document or a letter passes on its way into a warehouse, so what is erased comes
back by no way: not from the topic read again, not by a rebuild, not from a letter that is tried again.
"""

from dataclasses import dataclass, replace
from typing import Final

from schemas.dead_letter import DeadLetter
from schemas.masks import NumberMasks
from schemas.suppression import NOBODY, Erasure, Suppressions
from sinks.rows import Document


@dataclass(frozen=True, slots=True)
class Discretion:
    """The suppression list as of now, and the masks, if any."""

    suppressions: Suppressions = NOBODY
    masks: NumberMasks | None = None

    def document(self, document: Document) -> Document:
        """What may be laid down of it. What orders documents stays what was published."""
        body = self.suppressions.document(document.body)
        if self.masks is not None:
            body = self.masks.document(body)
        return document if body is document.body else replace(document, body=body)

    def letter(self, letter: DeadLetter) -> DeadLetter | None:
        """What may be laid down of a letter; None of one that names an erased person."""
        if self.suppressions.is_named_in_letter(letter):
            return None
        return letter if self.masks is None else self.masks.letter(letter)


OPEN: Final = Discretion()
"""Nobody is erased, nothing is masked."""


def erasure_of(document: Document) -> Erasure | None:
    """What was done to a document."""
    done = document.body.get("erasure")
    return Erasure(done) if done in set(Erasure) else None


def is_hollow(document: Document) -> bool:
    """Whether a pseudonymised document says nothing of its call: the log did not hold it any more."""
    body = document.body
    return not body.get("has_cdr") and not body.get("recordings") and not body.get("voicemails")
