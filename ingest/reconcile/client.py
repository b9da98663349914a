"""Tencent's own SDK, off the event loop: threads with a client each, one limiter, and a retry loop of our own.

The SDK's retryer sends on after a success (protocol.md f.5), its generated methods lose unknown fields, and it mistakes
an error for an answer when the Content-Type has a charset; all of that is answered here and nowhere else.
"""

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import requests
import structlog
from tencentcloud.ccc.v20200210.ccc_client import CccClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from ingest.reconcile.account import Account
from ingest.reconcile.endpoint import place_of
from ingest.reconcile.failure import ApiError, Remedy
from ingest.reconcile.limiter import Limiter
from ingest.reconcile.metrics import ApiMetrics

ATTEMPTS_MAX = 6
SLOW_DOWNS_MAX = 30
"""Refusals for speed are the limiter's business and do not count as attempts, but have an end too."""

PAUSE_SECONDS_FIRST = 0.5
PAUSE_SECONDS_MAX = 20.0
ANSWER_SECONDS_MAX = 20

log = structlog.stdlib.get_logger(__name__)


class Caller(Protocol):
    """Asks the API one thing. Failures are ApiError, after all that waiting could do."""

    async def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Give what stands in `Response`."""
        ...


class ApiClient:
    """A Caller over the SDK. `concurrency` threads, each with its own client; all of them within one limiter."""

    def __init__(
        self,
        account: Account,
        limiter: Limiter,
        *,
        concurrency: int,
        metrics: ApiMetrics,
        now: Callable[[], datetime],
        attempts_max: int = ATTEMPTS_MAX,
    ) -> None:
        self._account = account
        self._limiter = limiter
        self._metrics = metrics
        self._now = now
        self._attempts_max = attempts_max
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix=f"api-{account.name}")
        self._of_thread = threading.local()
        self.clock_ahead_seconds: float | None = None
        """Our clock minus the API's, as its last answer told it."""

    async def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Ask until there is an answer, or until asking again cannot help."""
        attempts = slow_downs = 0
        while True:
            await self._limiter.turn()
            try:
                answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, action, parameters)
            except ApiError as exc:
                self._metrics.count_request(action, exc.code)
                if exc.remedy is Remedy.SLOW_DOWN:
                    self._limiter.refused()
                    slow_downs += 1
                    if slow_downs >= SLOW_DOWNS_MAX:
                        raise
                else:
                    attempts += 1
                    if attempts >= min(self._attempts_max, _attempts_max(exc.remedy)):
                        raise
                    await asyncio.sleep(_pause_seconds(attempts))
                log.debug("api_asked_again", action=action, code=exc.code, attempts=attempts, slow_downs=slow_downs)
            else:
                self._metrics.count_request(action, "ok")
                self._limiter.succeeded()
                return answer
            finally:
                self._metrics.show_rate(self._account.name, self._limiter.rate)

    def close(self) -> None:
        """Let the threads end; an answer that is still awaited is nobody's any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """One request, in a thread."""
        try:
            answer = self._client().call_json(action, dict(parameters))
            response = answer["Response"]
            error = response.get("Error")
        except TencentCloudSDKException as exc:
            raise ApiError(str(exc.code), _words(exc.message), self.clock_ahead_seconds) from exc
        except requests.RequestException as exc:  # the body broke off: the SDK wraps only what fails before it
            raise ApiError("ClientNetworkError", type(exc).__name__) from exc
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ApiError("UnreadableAnswer", f"the answer is none of the API's ({type(exc).__name__})") from exc
        if error is not None:  # the SDK looks for errors only under two spellings of the Content-Type
            raise ApiError(str(error.get("Code")), str(error.get("Message")), self.clock_ahead_seconds)
        return dict(response)

    def _client(self) -> Any:
        client = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = make_client(self._account, self._hear_clock)
        return client

    def _hear_clock(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Every answer tells the API's time, the one that refuses ours too."""
        try:
            theirs = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError):
            return
        self.clock_ahead_seconds = (self._now() - theirs).total_seconds()


def make_client(account: Account, on_response: Callable[..., None]) -> Any:
    """One SDK client, for one thread."""
    # At level debug the SDK logs every request and every answer whole: keys, numbers, addresses.
    logging.getLogger("tencentcloud_sdk_common").disabled = True
    protocol, host = place_of(account.endpoint)
    profile = ClientProfile(
        httpProfile=HttpProfile(protocol=protocol, endpoint=host, reqTimeout=ANSWER_SECONDS_MAX, keepAlive=True),
        language="en-US",
        disable_region_breaker=True,  # with it, a network error surfaces as AttributeError
        request_client="callweave",
    )
    client = CccClient(Credential(account.secret_id, account.secret_key), account.region, profile)
    # The SDK offers neither: no proxy for what runs on this machine (it reads NO_PROXY in a way of its own, protocol.md
    # f.1), and the headers of an answer.
    connection = client.request.conn
    connection._session.hooks["response"].append(on_response)  # noqa: SLF001
    if protocol == "http":
        connection.proxy = None
        connection._session.trust_env = False  # noqa: SLF001
    return client


def _attempts_max(remedy: Remedy) -> int:
    match remedy:
        case Remedy.WAIT:
            return ATTEMPTS_MAX
        case Remedy.WAIT_ONCE:
            return 2
        case _:
            return 1


def _pause_seconds(attempts: int) -> float:
    """Exponential, with full jitter, so that those who failed together do not come back together."""
    return random.uniform(0, min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_FIRST * 2**attempts))  # noqa: S311  (no secret)


def _words(message: Any) -> str:
    """A message of the SDK's; where it is the body of an answer that was not 200, that body is nothing for a log."""
    return "the answer was not HTTP 200" if isinstance(message, bytes) else str(message)[:200]
