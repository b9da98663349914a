"""`callweave up`: broker (unless one is given), topics, receiver, worker, loader; with a key of TCCC's API, reconcile.

A role that dies is started again with back-off. A role that halts on purpose, or that cannot work as it is configured,
is not, and says why. Children never outlive this process. Nothing that was answered is lost when it stops early: what
is pending stays in Kafka and goes on with the next start.
"""

import asyncio
import contextlib
import fcntl
import itertools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from callweave.accounts import api_accounts
from callweave.broker.jars import BrokerUnavailable
from callweave.broker.local import LocalBroker
from callweave.child import die_with_parent
from callweave.role_health import ask_liveness, ask_readiness
from callweave.runtime import RoleEntry, Runtime
from callweave.settings import MisconfiguredError, Settings
from callweave.spool_standing import spool_standing
from callweave.topics import apply_topics
from streams.engine.halt import ExitStatus

if TYPE_CHECKING:
    from callweave.standing import Pending

ROLES = ("receiver", "worker", "loader")
SOURCES_OF_THE_API = ("reconcile",)
"""Roles that need a key of TCCC's API. Like the receiver they bring events, and end before the pipeline is drained."""
PAGE = "dashboard"
"""It only looks, so nothing waits for it."""

DRAIN_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
RECEIVER_STOP_SECONDS_MAX = 50.0
"""The receiver drains its spool when it stops."""
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_SECONDS = 60.0
"""A role that ran this long starts again without back-off."""

MISCONFIGURED_STATUS = 2
BROKER_LOOK_SECONDS = 1.0
ANNOUNCE_LOOK_SECONDS = 0.1
ANNOUNCED_LOOK_SECONDS = 10.0
LIVENESS_LOOK_SECONDS = 10.0
LIVENESS_GRACE_SECONDS = 10.0
FETCH_STEPS = 4


@dataclass(slots=True)
class Child:
    """One role's process."""

    role: str
    process: asyncio.subprocess.Process | None = None
    failures: int = 0
    ended_because: str | None = None


class Supervisor:
    """Runs the roles. `say` tells a person what happens; `ready` is told the push address once."""

    def __init__(
        self, settings: Settings, *, config: Path | None, say: Callable[[str], None], ready: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._config = config
        self._say = say
        self._ready = ready
        self._runtime = Runtime(settings.data_dir)
        self._roles: tuple[str, ...] = (*ROLES, *SOURCES_OF_THE_API) if api_accounts(settings) else ROLES
        if settings.login_tokens.is_on:
            self._roles = (*self._roles, "login-tokens")
        if settings.archiver.is_on:
            self._roles = (*self._roles, "archiver")
        if settings.dashboard.enabled:
            self._roles = (*self._roles, PAGE)
        self._children = {role: Child(role) for role in self._roles}
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._bootstrap_servers = ""
        self._is_announced = False
        self._failed_status = 0

    async def run(self) -> int:
        """Run until told to stop; the exit status of `up`."""
        # What no role could start with is said before anything is started; opening comes later, in the loader.
        _refuse_wrong_warehouse(self._settings)
        self._listen_to_signals()
        with _sole_owner(self._settings.data_dir), self._broker() as broker:
            tasks = [asyncio.create_task(self._announce())]
            if broker is not None:
                tasks.append(asyncio.create_task(self._watch_broker(broker)))

            begun: set[str] = set()

            def begin(*roles: str) -> None:
                begun.update(roles)
                tasks.extend(asyncio.create_task(self._watch(self._children[role])) for role in roles)

            try:
                # Pushes are welcome while Kafka is away: the receiver spools them.
                if not await self._topics_are_there(meanwhile=lambda: begin("receiver")):
                    return await self._stop_without_kafka()
                begin(*(role for role in self._roles if role not in begun))
                await self._stopping.wait()
                tasks[0].cancel()
                return await self._drain()
            finally:
                for task in tasks:
                    task.cancel()
                await self._end_everybody()

    @contextmanager
    def _broker(self) -> Iterator[LocalBroker | None]:
        if self._settings.kafka.bootstrap_servers:
            self._bootstrap_servers = self._settings.kafka.bootstrap_servers
            yield None
            return
        options = self._settings.broker
        data = self._settings.data_dir / "kafka"
        self._say(f"starting Apache Kafka {options.version}")
        starting = LocalBroker(data, version=options.version, port=options.port, heap_mb=options.heap_mb)
        with starting.start(progress=self._tell_fetching) as broker:
            self._bootstrap_servers = broker.bootstrap_servers
            self._publish_broker(broker)
            self._say(f"Apache Kafka {options.version} is ready at {broker.bootstrap_servers}")
            try:
                yield broker
            finally:
                self._runtime.withdraw("broker", broker.pid)

    def _tell_fetching(self, done: int, total: int) -> None:
        if done * FETCH_STEPS // total > (done - 1) * FETCH_STEPS // total:
            self._say(f"fetched {done} of Kafka's {total} jars")

    def _publish_broker(self, broker: LocalBroker) -> None:
        self._runtime.publish("broker", RoleEntry(broker.pid, bootstrap_servers=broker.bootstrap_servers))

    async def _watch_broker(self, broker: LocalBroker) -> None:
        """Start the broker again when it dies, at the same address: the roles know no other."""
        while not self._stopping.is_set():
            await asyncio.sleep(BROKER_LOOK_SECONDS)
            if broker.is_alive() or self._stopping.is_set():
                continue
            self._say(f"Apache Kafka died ({broker.log_file} tells why); starting it again")
            try:
                await asyncio.to_thread(broker.start)
            except BrokerUnavailable as exc:
                self._say(str(exc))
                continue
            self._publish_broker(broker)
            if broker.bootstrap_servers != self._bootstrap_servers:
                self._say(f"Apache Kafka came back at another address, {broker.bootstrap_servers}: stopping")
                self._stopping.set()

    async def _topics_are_there(self, *, meanwhile: Callable[[], None]) -> bool:
        """Create what is missing; a broker that is away is waited for, and `meanwhile` is called once.

        False when told to stop meanwhile.
        """
        for attempt in itertools.count():
            try:
                created = await apply_topics(self._settings_with_broker())
            except (KafkaError, OSError) as exc:
                pause = BACK_OFF_SECONDS[min(attempt, len(BACK_OFF_SECONDS) - 1)]
                self._say(f"Kafka at {self._bootstrap_servers} does not answer ({exc}); trying again in {pause:g} s")
                if attempt == 0:
                    meanwhile()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                    return False
            else:
                if created:
                    self._say(f"topics created: {', '.join(created)}")
                return True
        raise AssertionError("counting has no end")

    async def _watch(self, child: Child) -> None:
        """Start a role, and start it again when it dies."""
        while not self._stopping.is_set():
            started_at = time.monotonic()
            child.process = await self._start(child.role)
            asking = asyncio.create_task(self._end_when_not_live(child, child.process))
            status = await child.process.wait()
            asking.cancel()
            if self._stopping.is_set():
                return
            if status == MISCONFIGURED_STATUS and not self._is_announced:
                # Before anything was served: settings that cannot work stop the program.
                self._failed_status = MISCONFIGURED_STATUS
                self._stopping.set()
                return
            if status in (ExitStatus.HALTED, MISCONFIGURED_STATUS):
                child.ended_because = f"it ended with status {status}; the lines above say why"
                self._say(f"the {child.role} halted and is not started again: {child.ended_because}")
                return
            child.failures = 0 if time.monotonic() - started_at > STEADY_SECONDS else child.failures + 1
            pause = BACK_OFF_SECONDS[min(child.failures, len(BACK_OFF_SECONDS) - 1)]
            self._say(f"the {child.role} ended with status {status}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _end_when_not_live(self, child: Child, process: asyncio.subprocess.Process) -> None:
        """End a role that says that it is stuck, or that has not answered for as long as a stall may last."""
        silent_since: float | None = None
        while not self._stopping.is_set():
            await asyncio.sleep(LIVENESS_LOOK_SECONDS)
            entry = self._runtime.roles().get(child.role)
            if entry is None or entry.pid != process.pid or entry.admin_url is None:
                continue  # not serving yet
            is_live, reason = await asyncio.to_thread(ask_liveness, entry)
            now = time.monotonic()
            silent_since = (silent_since or now) if is_live is None else None
            is_silent = silent_since is not None and now - silent_since >= self._settings.worker.stall_seconds_max
            if is_live is False or is_silent:
                self._say(f"the {child.role} is not live, ending it: {reason}")
                await self._end(child.role, LIVENESS_GRACE_SECONDS)
                return

    async def _start(self, role: str) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "callweave", role, "--supervised", "--data", str(self._settings.data_dir)]
        if self._config is not None:
            command += ["--config", str(self._config)]
        return await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, "CALLWEAVE_KAFKA__BOOTSTRAP_SERVERS": self._bootstrap_servers},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,  # a Ctrl-C is for us: we stop them in their order
            preexec_fn=die_with_parent(),
        )

    async def _announce(self) -> None:
        """Say where everything is, once pushes are welcome."""
        told: set[str] = set()
        to_tell = len(self._roles) + (2 if PAGE in self._roles else 1)  # where to push to, and the page
        while True:
            roles = self._runtime.roles()
            for role in self._roles:
                entry = roles.get(role)
                if role not in told and entry is not None and entry.admin_url is not None:
                    told.add(role)
                    self._say(f"{role}: health and metrics at {entry.admin_url}")
            page = roles.get(PAGE)
            if page is not None and page.page_url and page.page_url not in told:
                told.add(page.page_url)
                self._say(f"the page: {page.page_url}")
            receiver = roles.get("receiver")
            if "ready" not in told and receiver is not None and receiver.push_url:
                ready, _ = await asyncio.to_thread(ask_readiness, receiver)
                if ready:
                    told.add("ready")
                    self._is_announced = True
                    self._ready(receiver.push_url)
            # What is left is a page that comes back elsewhere after it died.
            await asyncio.sleep(ANNOUNCE_LOOK_SECONDS if len(told) < to_tell else ANNOUNCED_LOOK_SECONDS)

    async def _drain(self) -> int:
        """Stop the door, let everything that was answered reach the warehouse, then stop the rest."""
        if self._failed_status:
            return self._failed_status
        self._say("draining: the receiver takes no more pushes")
        deadline = time.monotonic() + DRAIN_SECONDS_MAX
        try:
            waiting = asyncio.create_task(self._drained(deadline))
            hurry = asyncio.create_task(self._hurried.wait())
            await asyncio.wait({waiting, hurry}, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not waiting.done():
                waiting.cancel()
                self._say("stopped at once; what is pending goes on with the next start")
                return 1
            pending: Pending | None = await waiting
        except (KafkaError, OSError, MisconfiguredError) as exc:
            self._say(f"cannot tell what is pending: {exc}; nothing of it is lost")
            return 1
        halted = [child for child in self._children.values() if child.ended_because]
        if pending is None:
            self._say("drained: everything that was answered is in the warehouse")
            return 1 if halted else 0
        self._say(f"not drained within {DRAIN_SECONDS_MAX:g} s: {pending}; it goes on with the next start")
        return 1

    async def _stop_without_kafka(self) -> int:
        """Stop while Kafka never was there: what was answered is in the spool, and stays there."""
        await self._end("receiver", RECEIVER_STOP_SECONDS_MAX)
        spooled = spool_standing(self._settings).entries
        if spooled:
            self._say(f"{spooled} pushes wait in the spool; they go on with the next start")
        return self._failed_status or (1 if spooled else 0)

    async def _drained(self, deadline: float) -> "Pending | None":
        """Stop the receiver, which drains its spool, and wait for the warehouse; what is pending, if anything is."""
        from callweave.standing import Pending, wait_for_warehouse  # noqa: PLC0415  (brings the warehouses' libraries)

        for role in SOURCES_OF_THE_API:
            await self._end(role, STOP_SECONDS_MAX)
        await self._end("receiver", RECEIVER_STOP_SECONDS_MAX)
        pending = await wait_for_warehouse(self._settings_with_broker(), max(1.0, deadline - time.monotonic()))
        spooled = spool_standing(self._settings).entries
        if not spooled:
            return pending
        return Pending(pending.events if pending else 0, pending.documents if pending else 0, spooled)

    async def _end_everybody(self) -> None:
        for role in self._roles:
            await self._end(role, 0 if self._hurried.is_set() else STOP_SECONDS_MAX)

    async def _end(self, role: str, grace_seconds: float) -> None:
        process = self._children[role].process if role in self._children else None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace_seconds)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _settings_with_broker(self) -> Settings:
        kafka = self._settings.kafka.model_copy(update={"bootstrap_servers": self._bootstrap_servers})
        return self._settings.model_copy(update={"kafka": kafka})

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)

    def _told_to_stop(self) -> None:
        if self._stopping.is_set():
            self._hurried.set()
        self._stopping.set()


def _refuse_wrong_warehouse(settings: Settings) -> None:
    """Raise what making the sink raises, which is MisconfiguredError where WAREHOUSE__URL cannot be used.

    A process of its own tries, because the warehouse's library would stay in the memory of `up` for ever. It is forked,
    which is quick, and safe while nothing else runs in this process: so this comes first.
    """
    context = multiprocessing.get_context("fork")
    hearing, telling = context.Pipe(duplex=False)
    process = context.Process(target=_make_sink, args=(settings, telling), name="warehouse check")
    process.start()
    telling.close()
    try:
        problem: Exception | None = hearing.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process that tried the warehouse ended with status {process.exitcode}") from None
    process.join()
    if problem is not None:
        raise problem


def _make_sink(settings: Settings, telling: Connection) -> None:
    from callweave.warehouses import sink_of  # noqa: PLC0415  (see above)

    try:
        sink_of(settings)
    except Exception as exc:  # noqa: BLE001  (whatever it is, it is raised again where it is heard)
        telling.send(exc)
    else:
        telling.send(None)


@contextmanager
def _sole_owner(data_dir: Path) -> Iterator[None]:
    """One `up` for a data directory."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise MisconfiguredError(
                f"another `callweave up` runs on {data_dir}: stop it, or choose another --data directory"
            ) from exc
        yield
