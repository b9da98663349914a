"""The contracts in a schema registry that speaks Confluent's REST: registered by topic, checked before anything breaks.

The rule: readers of yesterday's schema read tomorrow's records, which registries call FORWARD. Members are only added,
and ours are open schemas, of which BACKWARD would refuse every addition.
"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

from callweave.contracts.asyncapi import payload_schemas
from callweave.contracts.json_schemas import json_schemas
from callweave.settings import Settings
from schemas.topics import KEYED_TOPICS, TOPICS

COMPATIBILITY: Final = "FORWARD"
DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest that every registry judges: Apicurio answers 500 to a comparison of 2020-12 schemas (ADR 0055)."""
_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_SECONDS_MAX: Final = 15.0


class RegistryError(Exception):
    """The registry does not answer, or refuses; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Registry:
    """Where it is, and who asks."""

    url: str
    username: str | None = None
    password: str | None = None

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the JSON of its answer, None where there is no such thing. Raises RegistryError."""
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise RegistryError(f"{self} is no address of a schema registry: write http://host:port or https://host")
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            f"{self}{path}", None if body is None else json.dumps(body).encode(), self._headers(), method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS_MAX) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            if exc.code == HTTPStatus.NOT_FOUND:
                return None
            if exc.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise RegistryError(
                    f"{self} refuses these credentials ({exc.code}): set REGISTRY__USERNAME and REGISTRY__PASSWORD"
                ) from exc
            raise RegistryError(f"{self} answers {exc.code} to {method} {path}: {_said(exc)}") from exc
        except (OSError, ValueError) as exc:
            raise RegistryError(f"{self} does not answer as a schema registry ({exc}): check the address") from exc

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": _MEDIA_TYPE, "Content-Type": _MEDIA_TYPE}
        if self.username is not None:
            login = base64.b64encode(f"{self.username}:{self.password or ''}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        return headers


@dataclass(frozen=True, slots=True)
class Registration:
    """One subject: its version there (None: not registered), and why it would not be taken."""

    subject: str
    version: int | None
    problem: str | None = None


def registry_of(settings: Settings, url: str | None = None) -> Registry | None:
    """The one that settings, or `url`, name."""
    place = url or settings.registry.url
    password = settings.registry.password
    if place is None:
        return None
    return Registry(place, settings.registry.username, None if password is None else password.get_secret_value())


def register(registry: Registry, topic_prefix: str) -> Iterator[Registration]:
    """Register the schema of each topic's values; what is there already stays. One that breaks readers is not taken."""
    for subject, schema in subjects(topic_prefix).items():
        found = look(registry, subject, schema)
        if found.version is None and found.problem is None:
            registry.ask("PUT", f"/config/{_quoted(subject)}", {"compatibility": COMPATIBILITY})
            registry.ask("POST", f"/subjects/{_quoted(subject)}/versions", schema)
            found = look(registry, subject, schema)
        yield found


def check(registry: Registry, topic_prefix: str) -> list[Registration]:
    """What is registered, and what would not be taken. Changes nothing."""
    return [look(registry, subject, schema) for subject, schema in subjects(topic_prefix).items()]


def look(registry: Registry, subject: str, schema: dict[str, str]) -> Registration:
    """One of them."""
    here = registry.ask("POST", f"/subjects/{_quoted(subject)}", schema)
    if here is not None:
        return Registration(subject, int(here["version"]))
    path = f"/compatibility/subjects/{_quoted(subject)}/versions/latest?verbose=true"
    judged = registry.ask("POST", path, schema)  # None: there is no version to be compatible with
    if judged is None or judged.get("is_compatible"):
        return Registration(subject, None)
    messages = judged.get("messages") or ["it is incompatible with the latest version"]
    return Registration(subject, None, "; ".join(messages))


def subjects(topic_prefix: str) -> dict[str, dict[str, str]]:
    """What is registered: `<topic>-value`, as every client of a registry finds it, with its schema."""
    schemas = json_schemas()
    payloads = payload_schemas()
    topics = [topic for topic in (*TOPICS, *KEYED_TOPICS) if topic.suffix in payloads]
    return {
        f"{topic.name(topic_prefix)}-value": {
            "schemaType": "JSON",
            "schema": json.dumps({**schemas[payloads[topic.suffix]], "$schema": DIALECT}),
        }
        for topic in topics
    }


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def _said(exc: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(exc).get("message", exc.reason))
    except (ValueError, AttributeError):
        return str(exc.reason)
