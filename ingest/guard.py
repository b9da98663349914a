"""Stands before the door: authorises each push, and answers who may not come in.

The rule: credentials are looked at first, whatever the source did before; only failures are counted. Nothing that a
stranger sends costs more than a bounded look.
"""

from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import hdrs, web

from ingest import answers
from ingest.attempts import FailedAttempts
from ingest.auth import Authenticator, Authorised, OpenDoor, Presented, Refused, Undecided
from ingest.headers import PUSH_UUID
from ingest.identity_provider import IdentityProvider
from ingest.lookalike import LookalikeAlarm
from ingest.metrics import ReceiverMetrics
from ingest.query import PushQuery
from ingest.source_address import Sources
from ingest.tokens import Tokens
from ingest.watch import PushWatch

_RETRY_AFTER: dict[str, str] = {hdrs.RETRY_AFTER: "60"}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may push, as the settings say: with `tokens` that we issue, or with those of a `provider`."""

    authenticator: Authenticator = field(default_factory=OpenDoor)
    tokens: Tokens | None = None
    provider: IdentityProvider | None = None
    sources: Sources = field(default_factory=Sources)
    failed_attempts_per_minute_max: int = 60
    sdk_app_ids: frozenset[int] = frozenset()


class Guard:
    """Decides about requests to one door."""

    def __init__(self, access: Access, metrics: ReceiverMetrics, watch: PushWatch) -> None:
        self._access = access
        self._attempts = FailedAttempts(access.failed_attempts_per_minute_max)
        self._alarm = LookalikeAlarm(metrics)
        self._metrics = metrics
        self._watch = watch

    async def admit(self, request: web.Request, query: PushQuery) -> Authorised | web.Response:
        """Authorise a push, or give the answer that it gets instead."""
        presented = Presented(request.headers.get(hdrs.AUTHORIZATION), query.tokens)
        match await self._access.authenticator.authorise(presented):
            case Authorised() as authorised:
                return self._welcome(authorised)
            case Undecided():
                self._metrics.count_rejected("undecided")
                return answers.refused(
                    HTTPStatus.SERVICE_UNAVAILABLE, "credentials cannot be checked just now; push it again"
                )
            case Refused() as refused:
                response = await self._refuse(request, refused)
                self._watch.saw_refusal(
                    status=response.status,
                    authorization=presented.authorization,
                    push_uuid=request.headers.get(PUSH_UUID),
                    has_expired=refused.has_expired,
                )
                return response

    def admit_at_once(self, authorization: str | None, query: PushQuery) -> Authorised | None:
        """Authorise a push, if that needs no waiting; None where `admit` must be asked, for it knows what to answer."""
        if self._access.provider is not None:
            return None  # its keys may have to be fetched, which only a task can do
        authorising = self._access.authenticator.authorise(Presented(authorization, query.tokens))
        try:
            authorising.send(None)
        except StopIteration as ended:
            verdict = ended.value
        else:
            authorising.close()
            return None
        return self._welcome(verdict) if isinstance(verdict, Authorised) else None

    def foreign(self, authorised: Authorised, sdk_app_id: int) -> str | None:
        """Why a body of this account is none of the sender's; None where it is."""
        if not authorised.may_push_for(sdk_app_id):
            names = ", ".join(tenant.name for tenant in authorised.tenants)
            return f"SdkAppId {sdk_app_id} is none of tenant {names}, whose credentials the push brought"
        known = self._access.sdk_app_ids
        if known and sdk_app_id not in known:
            return f"SdkAppId {sdk_app_id} is none of RECEIVER__SDK_APP_IDS"
        return None

    def is_over_limit(self, request: web.Request) -> bool:
        """Note a failed attempt; whether its source had too many."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        host = peer[0] if isinstance(peer, tuple) else None
        is_over = self._attempts.is_too_many(self._access.sources.source_of(host, request.headers))
        self._metrics.count_failed_attempt(is_over_limit=is_over)
        return is_over

    def _welcome(self, authorised: Authorised) -> Authorised:
        if authorised.expires_at is not None:
            self._metrics.show_token_expiry(authorised.expires_at)
        return authorised

    async def _refuse(self, request: web.Request, refused: Refused) -> web.Response:
        is_over = self.is_over_limit(request)
        await self._alarm.look(request)
        self._metrics.count_rejected("too_many_attempts" if is_over else "not_authorised")
        if not is_over:
            challenge: dict[str, str] = {hdrs.WWW_AUTHENTICATE: refused.challenge}
            return answers.refused(HTTPStatus.UNAUTHORIZED, "not authorised", challenge)
        response = answers.refused(HTTPStatus.TOO_MANY_REQUESTS, "too many failed attempts", _RETRY_AFTER)
        response.force_close()  # another guess costs another connection
        return response
