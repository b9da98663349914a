"""JSON Schemas (2020-12) of everything that callweave publishes to Kafka.

The rule: a reader of today's schema reads tomorrow's records. So unknown members are allowed here, although our own
models forbid them when they write.
"""

from typing import Any

from pydantic import BaseModel

from schemas.dead_letter import DEAD_LETTER_SCHEMA_VERSION, DeadLetter
from schemas.events import EVENT_SCHEMA_VERSION, NormalizedEvent
from schemas.keyed import KEYED_SCHEMA_VERSION
from schemas.reconcile import RECONCILE_SCHEMA_VERSION, HourRecord
from schemas.records import RECORDS
from schemas.session import SESSION_SCHEMA_VERSION, SessionDocument

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = {"type": "string", "pattern": "^[0-9]{1,19}$", "description": "The document's version; compare as numbers"}


def json_schemas() -> dict[str, dict[str, Any]]:
    """By file name without its ending: `<name>.v<schema_version>`."""
    return {
        f"event.v{EVENT_SCHEMA_VERSION}": _schema_of(
            NormalizedEvent, "Normalized event", "A value of tccc.cdr, tccc.record and tccc.voicemail."
        ),
        f"session.v{SESSION_SCHEMA_VERSION}": _session_record(),
        f"dead_letter.v{DEAD_LETTER_SCHEMA_VERSION}": _schema_of(
            DeadLetter, "Dead letter", "A value of tccc.dead_letters."
        ),
        f"reconcile.v{RECONCILE_SCHEMA_VERSION}": _schema_of(
            HourRecord, "Hour of the API", "A value of tccc.reconcile: an hour, as it was last read to its end."
        ),
        **{
            f"{suffix}.v{KEYED_SCHEMA_VERSION}": _schema_of(
                record, record.__name__, f"A value of tccc.{suffix}. {record.__doc__}"
            )
            for suffix, record in RECORDS.items()
        },
    }


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with each of its definitions in the places that refer to it, for readers that resolve none."""
    definitions = schema.get("$defs", {})

    def placed(node: Any) -> Any:
        if isinstance(node, list):
            return [placed(item) for item in node]
        if not isinstance(node, dict):
            return node
        more = {name: placed(value) for name, value in node.items() if name not in ("$ref", "$defs")}
        reference = node.get("$ref")
        return {**placed(definitions[reference.rpartition("/")[2]]), **more} if isinstance(reference, str) else more

    whole: dict[str, Any] = placed(schema)
    return whole


def _session_record() -> dict[str, Any]:
    """The record of `tccc.sessions`; what is in `state` is callweave's own and may change without notice."""
    document = _schema_of(SessionDocument, "Session document", SessionDocument.__doc__ or "")
    definitions = document.pop("$defs", {})
    return {
        "$schema": DIALECT,
        "title": "Session record",
        "description": "A value of tccc.sessions; a null value means that the state was retired, and deletes nothing.",
        "type": "object",
        "required": ["schema_version", "version", "session", "state"],
        "properties": {
            "schema_version": {"const": SESSION_SCHEMA_VERSION},
            "version": _VERSION,
            "session": {name: value for name, value in document.items() if name != "$schema"},
            "state": {"type": "object", "description": "Private: for callweave's own restoring"},
        },
        "$defs": definitions,
    }


def _schema_of(model: type[BaseModel], title: str, description: str) -> dict[str, Any]:
    schema = _open(model.model_json_schema(mode="serialization"))
    return {"$schema": DIALECT, **schema, "title": title, "description": description}


def _open(node: Any) -> Any:
    """A schema without its closed doors and without the titles that only repeat a name."""
    if isinstance(node, list):
        return [_open(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        name: _open(value)
        for name, value in node.items()
        if not (name == "additionalProperties" and value is False) and not (name == "title" and isinstance(value, str))
    }
    # A member with a default may have been added since: records from before it are still in the topics.
    if "properties" in kept:
        members = kept["properties"].items()
        kept["required"] = [name for name, member in members if "default" not in member or "const" in member]
    return kept
