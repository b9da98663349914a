"""`callweave doctor`: one line for each thing that must hold, and how to mend it where it does not."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from aiokafka.errors import KafkaError

from callweave.accounts import api_accounts
from callweave.contracts.registry import RegistryError, registry_of
from callweave.contracts.registry import check as check_registry
from callweave.kafka import admin_client, client_options
from callweave.migrating import pending_migration
from callweave.new_fields import new_fields
from callweave.reading import open_questions
from callweave.reconciling import probe
from callweave.roles.hosting import utc_now
from callweave.roles.login_tokens import provider_of
from callweave.roles.receiver import access_of
from callweave.settings import MisconfiguredError, ReceiverSettings, Settings
from callweave.spool_standing import spool_standing
from callweave.standing import look
from callweave.tenant_settings import SECRET_CHARACTERS_MIN, TenantSettings, filled, revealed, weak_secrets
from callweave.topics import check_topics
from ingest.login_tokens.callers import EVERYBODY, read_key_holders
from ingest.tls import CertificateError, TlsFiles, expiry_warning, load_pair
from ingest.token_endpoint import TOKEN_PATH
from sinks.sink import MisconfiguredError as SinkMisconfiguredError
from sinks.sink import QueryRefusedError, SinkUnavailableError

FREE_BYTES_MIN = 1024**3
CLOCK_SECONDS_MAX = 5.0
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
DRIFT_SESSIONS_MIN = 10
DRIFT_SHARE = 0.01
_LATELY = "from sessions where source = 'push+api' and last_received_at > now() - interval '30 days'"
# A leg's number says nothing about a schema.
_DISAGREEMENTS = rf"""
    select regexp_replace(d.field, '\[[0-9]+\]', '[]') as field, count(distinct (d.sdk_app_id, d.session_id)) as calls
    from field_disagreements as d
    inner join (select sdk_app_id, session_id {_LATELY}) as s
        on s.sdk_app_id = d.sdk_app_id and s.session_id = d.session_id
    group by 1 order by 2 desc, 1 limit 5
"""  # noqa: S608  (our own words)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what it found."""

    check: str
    is_ok: bool
    finding: str


def examine(settings: Settings) -> list[Finding]:
    """Run every check; none of them changes anything."""
    return [_guarded(check, settings) for check in _CHECKS] + [
        *_fields_of_tomorrow(settings),
        *_api(settings),
        *_login_tokens(settings),
        *_registry(settings),
        *_running(settings),
    ]


def _guarded(check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    name = (check.__doc__ or "").rstrip(".")
    try:
        return check(settings)
    except (MisconfiguredError, SinkMisconfiguredError, SinkUnavailableError, QueryRefusedError) as exc:
        return Finding(name, False, str(exc))
    except (KafkaError, OSError) as exc:
        return Finding(name, False, f"Kafka does not answer ({exc}): check CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS")


def _broker(settings: Settings) -> Finding:
    """Broker."""

    async def ask() -> int:
        async with admin_client(settings) as admin:
            return len((await admin.describe_cluster())["brokers"])

    brokers = asyncio.run(ask())
    factor = settings.kafka.replication_factor
    if factor > brokers:
        return Finding(
            "broker", False, f"{brokers} brokers cannot hold {factor} replicas: set CALLWEAVE_KAFKA__REPLICATION_FACTOR"
        )
    safe = factor >= 3
    worth = (
        "an acknowledged push outlives the loss of a machine"
        if safe
        else "one replica: a power cut can take the last moments"
        if factor == 1
        else f"{factor} replicas: losing a machine can take the last moments"
    )
    return Finding("broker", True, f"{client_options(settings)['bootstrap_servers']}, {brokers} brokers; {worth}")


def _topics(settings: Settings) -> Finding:
    """Topics."""
    findings = asyncio.run(check_topics(settings))
    problems = [f"{finding.name} {finding.problem}" for finding in findings if finding.problem]
    if problems:
        return Finding("topics", False, "; ".join(problems))
    return Finding("topics", True, f"{len(findings)} as they must be, {settings.kafka.partitions} partitions each")


def _warehouse(settings: Settings) -> Finding:
    """Warehouse."""
    with open_questions(settings) as questions:
        count = questions.ask("select count(*) from sessions").rows[0][0]
    return Finding("warehouse", True, f"answers, {count} sessions")


def _layout(settings: Settings) -> Finding:
    """Layout."""
    migration = pending_migration(settings)
    if not migration.is_needed:
        return Finding("layout", True, "tables and views are as this callweave needs them")
    if settings.warehouse.migrate == "refuse":
        advice = "the loader will not start before `callweave warehouse apply` (--dry-run prints the SQL)"
        return Finding("layout", False, f"an upgrade is due, which {migration.summary}: {advice}")
    return Finding("layout", True, f"an upgrade is due, which {migration.summary}: the loader does it when it starts")


def _fields_of_tomorrow(settings: Settings) -> Iterator[Finding]:
    """Fields that TCCC has added, and what would make columns of them."""
    try:
        found = new_fields(settings)
    except (SinkMisconfiguredError, SinkUnavailableError, QueryRefusedError):
        return  # what is wrong with the warehouse is said by its own check
    for field in found:
        yield Finding("new field", True, str(field))


def _clock(settings: Settings) -> Finding:
    """Clock."""
    # Nobody answers with a time of day before credentials for the API are set; a wrong clock is looked for where it
    # would hurt, in receipts that lie in the future.
    with open_questions(settings) as questions:
        latest = questions.ask("select max(last_received_at) as latest from sessions").rows[0][0]
    ahead = (datetime.fromisoformat(latest) - datetime.now(UTC)).total_seconds() if latest else 0.0
    if ahead > CLOCK_SECONDS_MAX:
        return Finding("clock", False, f"pushes were received {ahead:.0f} s in the future: set this clock right")
    return Finding("clock", True, "no receipt lies in the future")


def _disk(settings: Settings) -> Finding:
    """Disk."""
    place = settings.data_dir if settings.data_dir.exists() else settings.data_dir.absolute().parent
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES_MIN:
        return Finding("disk", False, f"{free // 2**20} MiB free under {settings.data_dir}: make room")
    return Finding("disk", True, f"{free // 2**30} GiB free under {settings.data_dir}")


def _spool(settings: Settings) -> Finding:
    """Spool."""
    directory = settings.spool_dir
    standing = spool_standing(settings)
    if standing.problem is not None:
        return Finding("spool", False, standing.problem)
    place = next(folder for folder in (directory, *directory.parents) if folder.exists())
    if not os.access(place, os.W_OK | os.X_OK) or not place.is_dir():
        return Finding("spool", False, f"{place} cannot be written: set CALLWEAVE_RECEIVER__SPOOL_DIR, or its owner")
    free, needed = shutil.disk_usage(place).free, settings.receiver.spool_bytes_max - standing.bytes_count
    if free < needed:
        return Finding(
            "spool",
            False,
            f"{free // 2**20} MiB free under {directory}, less than the {needed // 2**20} MiB that the spool may still"
            " take: make room, or set CALLWEAVE_RECEIVER__SPOOL_BYTES_MAX",
        )
    age = standing.oldest_age_seconds
    is_old = age is not None and age > settings.receiver.spool_age_alarm_seconds
    advice = ": bring Kafka back before the spool is full" if is_old else f"; room for {needed // 2**20} MiB"
    return Finding("spool", not is_old, f"{standing} in {directory}{advice}")


def _credentials(settings: Settings) -> Finding:
    """Credentials."""
    receiver = settings.receiver
    access = access_of(settings)
    if access.provider is not None:
        asyncio.run(access.provider.fetch())
        problem = access.provider.unready()
        if problem is not None:
            return Finding("credentials", False, f"{problem}: no push can be authorised")
        address = urlsplit(receiver.jwks_url or "")
        if address.scheme == "http" and address.hostname not in LOCAL_HOSTS:
            advice = "whoever stands between can let himself in: set an https:// address"
            return Finding("credentials", False, f"the identity provider's keys come in plain HTTP; {advice}")
    if not settings.tenants and receiver.auth == "none" and receiver.url_token is None:
        is_local = receiver.host in LOCAL_HOSTS
        return Finding(
            "credentials",
            is_local,
            "anybody who finds the push address may push: set CALLWEAVE_RECEIVER__AUTH=basic or oauth2, or "
            "CALLWEAVE_RECEIVER__URL_TOKEN" + (" before it is public" if is_local else ""),
        )
    holders = settings.tenants or (receiver,)
    weak = [name for holder in holders for name in weak_secrets(holder)]
    if weak:
        advice = f"shorter than {SECRET_CHARACTERS_MIN} characters can be guessed: choose longer ones"
        return Finding("credentials", False, f"{', '.join(weak)}: {advice}")
    return Finding("credentials", True, "; ".join(map(_mode_of, holders)))


def _mode_of(holder: TenantSettings | ReceiverSettings) -> str:
    whose = (
        f"tenant {holder.name} (SdkAppId {', '.join(map(str, holder.sdk_app_ids))}): "
        if isinstance(holder, TenantSettings)
        else ""
    )
    parts = [f"auth {holder.auth}"]
    if isinstance(holder, ReceiverSettings) and holder.jwks_url:
        parts.append(f"tokens of {holder.issuer}")
    elif holder.auth == "oauth2":
        parts.append(f"tokens from {TOKEN_PATH}")
    if filled(holder.password_previous) or filled(holder.client_secret_previous):
        parts.append("the previous secret is accepted too, remove it once the console has the new one")
    if holder.url_token:
        parts.append("URL token")
    return whose + ", ".join(parts)


def _encryption(settings: Settings) -> Finding:
    """Encryption."""
    receiver = settings.receiver
    if receiver.tls_cert_file is None or receiver.tls_key_file is None:
        is_local = receiver.host in LOCAL_HOSTS
        advice = (
            "a proxy must end TLS in front of it"
            if is_local or receiver.trusted_proxies
            else (
                "the whole world can reach it in plain HTTP: set CALLWEAVE_RECEIVER__TLS_CERT_FILE and"
                " __TLS_KEY_FILE, or put a proxy in front and name it in CALLWEAVE_RECEIVER__TRUSTED_PROXIES"
            )
        )
        return Finding("encryption", is_local or bool(receiver.trusted_proxies), f"plain HTTP; {advice}")
    try:
        pair = load_pair(TlsFiles(receiver.tls_cert_file, receiver.tls_key_file))
    except CertificateError as exc:
        return Finding("encryption", False, str(exc))
    warning = expiry_warning(pair.expires_at, datetime.now(UTC))
    if warning is not None:
        return Finding("encryption", False, warning)
    return Finding("encryption", True, f"HTTPS; the certificate is good until {pair.expires_at:%Y-%m-%d}")


def _api(settings: Settings) -> Iterator[Finding]:
    """TCCC's API, for each application that reconcile reads."""
    if not api_accounts(settings):
        return
    for finding in probe(settings):
        ahead = finding.clock_ahead_seconds
        clock = "" if ahead is None else f", this clock differs from its by {ahead:+.0f} s"
        works = f"SdkAppId {finding.sdk_app_id}: answers{clock}"
        yield Finding("api", finding.problem is None, finding.problem or works)


def _login_tokens(settings: Settings) -> Iterator[Finding]:
    """Who may have login tokens, where they are given."""
    knobs = settings.login_tokens
    if not knobs.is_on:
        return
    provider = provider_of(knobs)
    if provider is not None:
        asyncio.run(provider.fetch())
        problem = provider.unready()
        if problem is not None:
            yield Finding("login tokens", False, f"{problem}: nobody with a token of it gets one of TCCC's")
            return
    if knobs.tls_cert_file is None and knobs.host not in LOCAL_HOSTS and not knobs.trusted_proxies:
        advice = "set CALLWEAVE_LOGIN_TOKENS__TLS_CERT_FILE and __TLS_KEY_FILE, or a proxy in __TRUSTED_PROXIES"
        yield Finding("login tokens", False, f"keys and tokens travel in plain HTTP: {advice}")
        return
    if knobs.tls_cert_file is not None and knobs.tls_key_file is not None:
        try:
            warning = expiry_warning(load_pair(TlsFiles(knobs.tls_cert_file, knobs.tls_key_file)).expires_at, utc_now())
        except CertificateError as exc:
            warning = str(exc)
        if warning is not None:
            yield Finding("login tokens", False, warning)
            return
    holders = read_key_holders(revealed(knobs.api_keys), knobs.agents)
    wide = [holder.name for holder in holders if EVERYBODY in holder.agents.patterns]
    who = [f"keys of {', '.join(holder.name for holder in holders)}"] if holders else []
    who += [f"people of {knobs.issuer}"] if provider is not None else []
    note = f"; {', '.join(wide)} may log in every agent" if wide else ""
    yield Finding("login tokens", True, f"{' and '.join(who)}{note}")


def _registry(settings: Settings) -> list[Finding]:
    """The contracts in a schema registry, where one is named."""
    registry = registry_of(settings)
    if registry is None:
        return []
    try:
        found = check_registry(registry, settings.kafka.topic_prefix)
    except RegistryError as exc:
        return [Finding("registry", False, str(exc))]
    broken = [f"{one.subject}: {one.problem}" for one in found if one.problem]
    missing = [one.subject for one in found if one.version is None]
    if broken:
        advice = "what callweave publishes breaks who reads by these; was another callweave registered?"
        return [Finding("registry", False, f"{'; '.join(broken)}: {advice}")]
    if missing:
        advice = "`callweave contracts register` does it"
        return [Finding("registry", True, f"{len(missing)} of {len(found)} contracts are not registered: {advice}")]
    return [Finding("registry", True, f"{len(found)} subjects of {registry} hold the contracts of this callweave")]


def _drift(settings: Settings) -> Finding:
    """Fields of push and API."""
    with open_questions(settings) as questions:
        both = int(questions.ask(f"select count(*) {_LATELY}").rows[0][0])
        rows = questions.ask(_DISAGREEMENTS).rows
    often = [(field, int(count)) for field, count in rows if int(count) >= max(DRIFT_SESSIONS_MIN, DRIFT_SHARE * both)]
    if not both:
        return Finding(
            "fields", True, "no session of the last 30 days is known from both push and API: nothing to compare"
        )
    if not often:
        return Finding("fields", True, f"push and API agree, in {both} sessions of the last 30 days")
    named = ", ".join(f"{field} in {count}" for field, count in often)
    return Finding(
        "fields",
        True,
        f"of {both} sessions that both push and API know, they differ in {named}: did TCCC change a field? "
        "The table field_disagreements has both values",
    )


def _running(settings: Settings) -> Iterator[Finding]:
    try:
        standing = look(settings)
    except MisconfiguredError:
        return
    for role in standing.roles:
        yield Finding(role.role, role.ready, role.reason or "ready")


_CHECKS = (_broker, _topics, _warehouse, _layout, _drift, _clock, _disk, _spool, _credentials, _encryption)
