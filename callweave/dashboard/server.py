"""The page's HTTP: its files, its panels as JSON with ETags, any table as CSV. Read-only, and bounded in every answer.

The rule: nothing is answered before the gate has said who looks, and every answer carries the headers that keep a
browser from running, framing or calling anything but this page.
"""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

import structlog
from aiohttp import web
from aiokafka.errors import KafkaError

from callweave import __version__
from callweave.dashboard.access import Turned, Viewer, gate_of
from callweave.dashboard.answers import Kept, SharedAnswers, TooBusyError
from callweave.dashboard.call import call_panel
from callweave.dashboard.calls import find_calls
from callweave.dashboard.choices import choices_panel
from callweave.dashboard.filters import FilterError, Filters, bounded_text, read_filters
from callweave.dashboard.panels import Panel, csv_of
from callweave.dashboard.pipeline import pipeline_panel, standing_panel, watermark
from callweave.dashboard.site import StaticFile, static_files
from callweave.dashboard.spelling import Spelling
from callweave.dashboard.today import today_panel
from callweave.kpi_settings import kpi_rules
from callweave.reading import Questions, open_questions
from callweave.session_report import SessionReport, report_of, report_session, rows_of_session
from callweave.settings import MisconfiguredError, Settings
from sinks.sink import QueryRefusedError, QueryTooSlowError, SinkUnavailableError

PORTS_TRIED_MAX: Final = 64
TOPIC_SECONDS_MAX: Final = 20.0
"""How long the session topic is read for one call's pushes."""
STANDING_SECONDS: Final = 10.0
"""Asking Kafka and every role costs more than a query, and lag is no stock price."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; media-src https: http:; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_T = TypeVar("_T")
_VIEWER: Final = web.RequestKey("viewer", Viewer)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PANELS: Final = ("today", "pipeline", "standing", "calls", "call", "choices")

log = structlog.get_logger(__name__)


class DashboardServer:
    """Serves one data directory's page."""

    def __init__(self, settings: Settings, *, takes_next_free_port: bool = False) -> None:
        self._settings = settings
        self._knobs = settings.dashboard
        self._zones = {rules.sdk_app_id: rules.time_zone for rules in kpi_rules(settings.kpi)}
        self._words = Spelling.of(settings.warehouse_url)
        self._gate = gate_of(self._knobs)
        self._files = static_files()
        self._takes_next_free_port = takes_next_free_port
        self.answers = SharedAnswers(lambda: self._asked(watermark), refresh_seconds=self._knobs.refresh_seconds)
        self._standing = SharedAnswers(
            lambda: datetime.now(UTC).isoformat(), refresh_seconds=max(STANDING_SECONDS, self._knobs.refresh_seconds)
        )
        self._runner: web.AppRunner | None = None
        self.url = ""

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._guarded], client_max_size=0)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/static/{path:.+}", self._static),
                web.get("/api/viewer", self._viewer),
                web.get(f"/api/{{panel:{'|'.join(_PANELS)}}}", self._panel),
                web.get(f"/csv/{{panel:{'|'.join(_PANELS)}}}/{{table:[a-z_]+}}", self._csv),
            ]
        )
        return app

    async def start(self) -> None:
        """Listen; MisconfiguredError where that is not possible."""
        runner = web.AppRunner(self.application(), access_log=None, max_field_size=8190, max_headers=64)
        await runner.setup()
        host, first = self._knobs.host, self._knobs.port
        tries = PORTS_TRIED_MAX if self._takes_next_free_port and first else 1
        for port in range(first, first + tries):
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as exc:
                problem = exc
                continue
            self._runner = runner
            shown = "127.0.0.1" if host in ("0.0.0.0", "") else "[::1]" if host == "::" else host  # noqa: S104  (compared)
            shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
            self.url = f"http://{shown}:{runner.addresses[0][1]}/"
            return
        await runner.cleanup()
        raise MisconfiguredError(
            f"the page cannot listen on {host}:{first} ({problem.strerror}): stop what uses it, or set "
            "CALLWEAVE_DASHBOARD__HOST and CALLWEAVE_DASHBOARD__PORT"
        )

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    def unready(self) -> str | None:
        """Why nobody can look; None where people can."""
        return None if self._runner is not None else "not listening"

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.path != "/":
                raise Turned(HTTPStatus.FORBIDDEN, "another page may not ask this one")  # noqa: TRY301  (one place words it)
            request[_VIEWER] = self._gate.viewer(request)
            response = await handler(request)
        except Turned as exc:
            response = _refused(exc.status, str(exc), exc.headers)
        except web.HTTPException as exc:
            response = _refused(HTTPStatus(exc.status), HTTPStatus(exc.status).phrase)
        except (FilterError, QueryRefusedError) as exc:
            is_slow = isinstance(exc, QueryTooSlowError)
            response = _refused(HTTPStatus.GATEWAY_TIMEOUT if is_slow else HTTPStatus.BAD_REQUEST, str(exc))
        except TooBusyError as exc:
            response = _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc), {"Retry-After": "2"})
        except SinkUnavailableError as exc:
            response = _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(exc), {"Retry-After": "5"})
        except Exception:
            log.exception("page_failed", path=request.path)
            response = _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "the page failed to answer; its log says where")
        response.headers.update(HEADERS)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        return _file(request, self._files["index.html"])

    async def _static(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound
        return _file(request, file)

    async def _viewer(self, request: web.Request) -> web.Response:
        viewer = request[_VIEWER]
        return web.json_response(
            {
                "name": viewer.name,
                "sees_personal": viewer.sees_personal,
                "refresh_seconds": self._knobs.refresh_seconds,
                "time_zones": {str(account): zone for account, zone in self._zones.items()},
                "version": __version__,
            },
            headers={"Cache-Control": "no-store"},
        )

    async def _panel(self, request: web.Request) -> web.Response:
        kept = await self._answer(request)
        body, etag = await asyncio.to_thread(kept.body, sees_personal=request[_VIEWER].sees_personal)
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        response = web.Response(body=body, content_type="application/json", headers=headers)
        response.enable_compression()
        return response

    async def _csv(self, request: web.Request) -> web.Response:
        kept = await self._answer(request)
        name = request.match_info["table"]
        table = kept.panel.tables.get(name)
        if table is None:
            raise web.HTTPNotFound
        body = await asyncio.to_thread(csv_of, table, sees_personal=request[_VIEWER].sees_personal)
        return web.Response(
            body=body,
            content_type="text/csv",
            charset="utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="callweave-{name}.csv"',
                "Cache-Control": "private, no-store",
            },
        )

    async def _answer(self, request: web.Request) -> Kept:
        """The panel that an address names; asked of the warehouse once for all who name the same."""
        panel, asked = request.match_info["panel"], request.query
        if panel == "standing":
            return await self._standing.answer("standing", lambda: standing_panel(self._settings))
        if panel == "call":
            return await self._call(asked)
        filters = read_filters(asked, zones=self._zones, now=datetime.now(UTC))
        key, make = self._question(panel, filters, asked, sees_personal=request[_VIEWER].sees_personal)
        return await self.answers.answer(key, functools.partial(self._asked, make))

    def _question(
        self, panel: str, filters: Filters, asked: Mapping[str, str], *, sees_personal: bool
    ) -> tuple[Hashable, Callable[[Questions], Panel]]:
        words = self._words
        match panel:
            case "today":
                return (panel, filters), lambda questions: today_panel(questions, words, filters)
            case "pipeline":
                return (panel, filters), lambda questions: pipeline_panel(questions, words, filters)
            case "choices":
                return (panel, filters), lambda questions: choices_panel(questions, words, filters)
            case _:
                term = bounded_text(asked, "q")
                # Who may see numbers may also look for parts of them, so their answers are their own.
                return (panel, filters, term, sees_personal), lambda questions: find_calls(
                    questions, words, filters, term, sees_personal=sees_personal
                )

    async def _call(self, asked: Mapping[str, str]) -> Kept:
        account, session_id = asked.get("sdk_app_id", ""), bounded_text(asked, "session_id")
        if not account.isascii() or not account.isdigit() or session_id is None:
            raise FilterError("a call is named by sdk_app_id (a whole number) and session_id")
        with_pushes = asked.get("pushes") == "1"
        loop = asyncio.get_running_loop()

        def make() -> Panel:
            found = asyncio.run_coroutine_threadsafe(
                self._report(int(account), session_id, with_pushes=with_pushes), loop
            )
            report, kafka_problem = found.result()
            deadline = self._settings.warehouse.recording_deadline_seconds
            return call_panel(report, deadline_seconds=deadline, kafka_problem=kafka_problem)

        return await self.answers.answer(("call", account, session_id, with_pushes), make)

    async def _report(self, sdk_app_id: int, session_id: str, *, with_pushes: bool) -> tuple[SessionReport, str | None]:
        """With the pushes, which stand in Kafka; without them where it does not answer, or not in time."""
        problem = None
        if with_pushes:
            try:
                async with asyncio.timeout(TOPIC_SECONDS_MAX):
                    return await report_session(self._settings, sdk_app_id, session_id), None
            except TimeoutError:
                problem = f"the session topic was not read within {TOPIC_SECONDS_MAX:g} s"
            except MisconfiguredError as exc:
                problem = str(exc)
            except (KafkaError, OSError) as exc:
                problem = f"Kafka does not answer: {exc}"
        rows, warehouse_problem = await asyncio.to_thread(rows_of_session, self._settings, sdk_app_id, session_id)
        return report_of(sdk_app_id, session_id, rows, None, warehouse_problem=warehouse_problem), problem

    def _asked(self, question: Callable[[Questions], _T]) -> _T:
        with open_questions(self._settings) as questions:
            return question(questions)


def _file(request: web.Request, file: StaticFile) -> web.Response:
    """A file, if the browser does not have it yet. Addresses carry no digest, so it asks each time, with an ETag."""
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("If-None-Match") == file.etag:
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = file.content_type
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=file.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=file.body, headers=headers)


def _refused(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body: dict[str, Any] = {"error": sentence}
    return web.Response(
        body=json.dumps(body, ensure_ascii=False).encode(),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
