"""Completeness, and recordings that TCCC will soon delete, as metrics on the loader's admin port.

Asked of the warehouse every so often: yesterday, and the last 24 whole hours, both in UTC. Labels are closed sets, and
the applications that the settings name.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Gauge

from callweave.completeness import COUNTS, DAY, Hour, Stretch, read_hours, share_of, stretches
from callweave.expiring import read_expiring
from callweave.reading import DirectQuestions
from schemas import metrics as listed
from sinks.sink import QueryRefusedError, Reader, SinkUnavailableError

log = structlog.stdlib.get_logger(__name__)

SPANS: Final = listed.COMPLETENESS_SHARE.values("span")
_SOON_SECONDS: Final = 5.0
_STATES: Final = ("final", "provisional", "not asked")


class CompletenessMetrics:
    """The gauges in one registry; none has a value before the warehouse was asked."""

    def __init__(self, registry: CollectorRegistry, sdk_app_ids: Sequence[int]) -> None:
        self._sdk_app_ids = frozenset(sdk_app_ids)
        self._share = Gauge(**listed.COMPLETENESS_SHARE.arguments, registry=registry)
        self._share_of_app = Gauge(**listed.COMPLETENESS_APP_SHARE.arguments, registry=registry)
        self._count = Gauge(**listed.COMPLETENESS_COUNT.arguments, registry=registry)
        self._hours = Gauge(**listed.COMPLETENESS_HOURS.arguments, registry=registry)
        self._expiring = Gauge(**listed.RECORDINGS_EXPIRING.arguments, registry=registry)

    def show(self, span: str, hours: Sequence[Hour]) -> None:
        """Set every gauge of a span."""
        counts = Stretch(0, hours[0].start, hours).counts if hours else dict.fromkeys(COUNTS, 0)
        _set_share(self._share, share_of(counts), span)
        for name, value in counts.items():
            self._count.labels(span, name).set(value)
        for state in _STATES:
            self._hours.labels(span, state.replace(" ", "_")).set(sum(hour.state == state for hour in hours))
        for total in stretches(hours, None):
            if total.sdk_app_id in self._sdk_app_ids:
                _set_share(self._share_of_app, total.share, span, str(total.sdk_app_id))

    def show_expiring(self, counts: Mapping[int, int]) -> None:
        """Set the gauge of each number of days."""
        for days, count in counts.items():
            self._expiring.labels(str(days)).set(count)


def _set_share(gauge: Gauge, share: float | None, *labels: str) -> None:
    gauge.labels(*labels).set(float("nan") if share is None else share)


async def keep_showing(
    metrics: CompletenessMetrics,
    warehouse: Reader,
    *,
    sdk_app_ids: Sequence[int],
    every_seconds: float,
    now: Callable[[], datetime],
) -> None:
    """Ask the warehouse every so often, for ever; a question that it cannot answer now is asked again soon."""
    questions = DirectQuestions(warehouse)
    while every_seconds:
        pause = every_seconds
        try:
            for span, (first, last) in spans_at(now()).items():
                read = asyncio.to_thread(
                    read_hours, questions, first, last, applications=frozenset(sdk_app_ids), only=False
                )
                metrics.show(span, await read)
            metrics.show_expiring(await asyncio.to_thread(read_expiring, questions, now()))
        except (SinkUnavailableError, QueryRefusedError) as exc:
            log.debug("completeness_unknown", reason=type(exc).__name__)
            pause = min(every_seconds, _SOON_SECONDS)
        await asyncio.sleep(pause)


def spans_at(moment: datetime) -> dict[str, tuple[datetime, datetime]]:
    """The spans that are shown, in whole hours that are over."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    today = hour - timedelta(hours=hour.hour)
    return dict(zip(SPANS, ((today - DAY, today), (hour - DAY, hour)), strict=True))
