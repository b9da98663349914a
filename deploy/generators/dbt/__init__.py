"""deploy/dbt: the dbt package whose models are the views of the numbers, made of their definitions (`sinks/kpi`).

The rule: nothing about a number is written here or in the package by hand, so a change of a definition is one
`make deploy-files` away.
"""

from collections.abc import Iterator

from deploy.generators.dbt.documents import documents
from deploy.generators.dbt.models import models
from deploy.generators.dbt.semantic_layer import semantic_layer


def dbt_files() -> Iterator[tuple[str, str]]:
    """Each generated file's place below deploy/, and its text."""
    yield from models()
    yield from documents()
    yield from semantic_layer()
