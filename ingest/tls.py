"""HTTPS by the receiver itself: one certificate and key, read again when they are renewed.

The rule: what does not load changes nothing. A new pair takes over as a whole, at the next handshake; a broken one is
an alarm, and the pair that works goes on.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas import metrics as listed

EXPIRY_WARNING = timedelta(days=14)
"""From here on readiness and `doctor` speak of it; renewals are usually made thirty days ahead."""

_LOOK_SECONDS = 5.0

_log = structlog.stdlib.get_logger(__name__)


class CertificateError(Exception):
    """A certificate and key that cannot be used; the message says why, without the key."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificate (with its chain) and its key are, as PEM."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and key that work together."""

    context: ssl.SSLContext
    expires_at: datetime


def load_pair(files: TlsFiles) -> Pair:
    """Load a certificate with its key; raise CertificateError where they cannot serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.cert_file, files.key_file, password=_no_password)
        leaf = x509.load_pem_x509_certificates(files.cert_file.read_bytes())[0]
    except ssl.SSLError as exc:
        raise CertificateError(
            f"{files.cert_file} and {files.key_file} are no certificate with its key ({exc.reason or 'not PEM'})"
        ) from exc
    except (OSError, ValueError) as exc:
        problem = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise CertificateError(f"{files.cert_file} or {files.key_file} cannot be read: {problem}") from exc
    return Pair(context, leaf.not_valid_after_utc)


class Certificates:
    """The pair in use, and the watch over its files."""

    def __init__(self, files: TlsFiles, *, clock: Callable[[], datetime], registry: CollectorRegistry) -> None:
        self._files = files
        self._clock = clock
        self._expiry = Gauge(**listed.TLS_CERTIFICATE_EXPIRY.arguments, registry=registry)
        self._reloads = Counter(**listed.TLS_RELOADS.arguments, registry=registry)
        for outcome in listed.TLS_RELOADS.values("outcome"):
            self._reloads.labels(outcome)
        self._marks = self._look()
        self._problem: str | None = None
        self._pair = load_pair(files)
        self._use(self._pair)
        # The listening context is never replaced; each handshake is moved to the context of the pair in use.
        self.context = load_pair(files).context
        self.context.sni_callback = self._choose

    @property
    def expires_at(self) -> datetime:
        """When the certificate in use ends."""
        return self._pair.expires_at

    def warning(self) -> str | None:
        """What an operator should know; None where all is well."""
        if self._problem is not None:
            return f"the renewed TLS certificate cannot be used, the earlier one goes on: {self._problem}"
        return expiry_warning(self.expires_at, self._clock())

    async def watch(self, look_seconds: float = _LOOK_SECONDS) -> None:
        """Look at the files for ever."""
        while True:
            await asyncio.sleep(look_seconds)
            await asyncio.to_thread(self.reload_if_changed)

    def reload_if_changed(self) -> bool:
        """Read the files again where they changed; whether another pair is in use now."""
        marks = self._look()
        if marks == self._marks:
            return False
        try:
            pair = load_pair(self._files)
        except CertificateError as exc:
            # The marks stay as they were: a pair that was half written is tried again.
            if self._problem is None:
                self._reloads.labels("broken").inc()
                _log.error("tls_certificate_not_reloaded", reason=str(exc), advice="put a matching pair in place")
            self._problem = str(exc)
            return False
        self._marks = marks
        self._problem = None
        self._use(pair)
        self._reloads.labels("used").inc()
        _log.info("tls_certificate_reloaded", expires_at=pair.expires_at.isoformat())
        return True

    def _use(self, pair: Pair) -> None:
        self._pair = pair
        self._expiry.set(pair.expires_at.timestamp())

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._pair.context

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_mark(file) for file in (self._files.cert_file, self._files.key_file))


def expiry_warning(expires_at: datetime, now: datetime) -> str | None:
    """A sentence about a certificate that has expired or soon will."""
    left = expires_at - now
    if left <= timedelta(0):
        return f"the TLS certificate expired at {expires_at:%Y-%m-%d %H:%M} UTC: renew it"
    if left < EXPIRY_WARNING:
        return f"the TLS certificate expires in {left.days} days, at {expires_at:%Y-%m-%d %H:%M} UTC: renew it"
    return None


def _mark(file: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced, also behind a symbolic link."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _no_password() -> str:
    raise ValueError("the key is encrypted: give one that is not, readable by this process alone")
