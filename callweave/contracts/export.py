"""`callweave contracts export DIR`: every contract as a file. The same sources give the same bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from callweave.contracts.asyncapi import asyncapi_document
from callweave.contracts.dictionary import data_dictionary
from callweave.contracts.json_schemas import json_schemas
from callweave.contracts.metrics_page import metrics_page
from callweave.contracts.numbers_page import numbers_page
from ingest.access import Credentials
from ingest.openapi import openapi_document
from ingest.receiver import ReceiverOptions

EVERY_WAY_TO_ASK = (
    Credentials(auth="basic"),
    Credentials(auth="oauth2"),
    Credentials(url_token="any"),  # noqa: S106  (the document says that there is one, not which)
)


def export_contracts(directory: Path) -> list[Path]:
    """Write all of them below `directory`, and give the files; other files there are left alone."""
    written: list[Path] = []
    for name, text in contract_files():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def contract_files() -> Iterator[tuple[str, str]]:
    """Each contract's name and text."""
    for name, schema in json_schemas().items():
        yield f"{name}.schema.json", _json(schema)
    yield "asyncapi.json", _json(asyncapi_document())
    yield "openapi.json", _json(openapi_document(ReceiverOptions(), EVERY_WAY_TO_ASK))
    yield "data-dictionary.md", data_dictionary()
    yield "metrics.md", metrics_page()
    yield "kpis.md", numbers_page()


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
