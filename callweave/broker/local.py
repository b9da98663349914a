"""Apache Kafka as a child process: one KRaft node on 127.0.0.1, its data and its log in one directory.

The rule: a broker that `start` returns has answered a Kafka request with the cluster id of its own directory; one that
could not start has said in one sentence why. `callweave up`, the demo and the tests run on it.
"""

import atexit
import base64
import os
import re
import secrets
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from callweave.broker.jars import USE_YOUR_OWN, BrokerUnavailable, Progress, fetch_jars
from callweave.broker.java import Java, find_java
from callweave.broker.lock import DirectoryLock
from callweave.broker.probe import ask_cluster
from callweave.child import spawn

HOST = "127.0.0.1"
VERSION = "4.1.1"
MESSAGE_BYTES_MAX = 8 * 1024 * 1024

START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 20.0
POLL_SECONDS = 0.05
PORT_ATTEMPTS_MAX = 5
LOG_BYTES_MAX = 8 * 1024 * 1024
# Below the ports that systems give to outgoing connections: a client that knocks at the port of a stopped broker from a
# port of that range may get the very same one, is then connected to itself, and the broker cannot come back.
PORTS = range(20_000, 30_000)

SERVER_PROPERTIES = """\
# Written by callweave at every start of this broker; changes to this file are lost.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT

# Relative to the data directory, where the broker runs: no character of that path can break this file.
log.dirs=topics

# A topic that nobody created is a mistake, not a wish.
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
# A machine may be off for a summer and still go on where it stopped.
offsets.retention.minutes=129600
# All consumers of one machine are there at once: there is nobody to wait for.
group.initial.rebalance.delay.ms=0

# A broker that was killed is taken for alive until its session ends, and its successor has to wait for that.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# The largest body that the receiver takes fits with its envelope, and a session can grow.
message.max.bytes={message_bytes_max}
replica.fetch.max.bytes={message_bytes_max}
socket.request.max.bytes=104857600

# One user on one machine.
num.network.threads=2
num.io.threads=4
num.replica.fetchers=1
num.recovery.threads.per.data.dir=1
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
"""

# Kafka 3 logs through reload4j, Kafka 4 through log4j 2. Both write to standard output, which is the log file, so that
# what the JVM itself has to say stands in the same place.
LOG4J_1_PROPERTIES = """\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
"""
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
LOG4J_2_PROPERTIES = """\
status = error
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
"""


class LocalBroker:
    """One Kafka node on this machine. Synchronous, used by one thread at a time; after `stop` it may be started again.

    On Linux the broker ends with this process, however that ends (see `callweave.child`); elsewhere if it ends orderly.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        version: str = VERSION,
        port: int | None = None,
        heap_mb: int = 384,
        secured: "SecuredListener | None" = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._secured = secured
        self.version = version
        self.heap_mb = heap_mb
        self._wanted_port = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: DirectoryLock | None = None
        self._owner_pid = os.getpid()

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients. It stays the same over restarts of this object, unless somebody took the port."""
        if self._port is None:
            raise RuntimeError("The broker has no address before start().")
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """The process id of Kafka's Java."""
        if self._process is None:
            raise RuntimeError("The broker has no process: it was not started, or it was stopped.")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """What Kafka and its JVM had to say, warnings and worse."""
        return self.data_dir / "broker.log"

    def is_alive(self) -> bool:
        """Whether the process runs; that it also answers is what `start` makes sure of."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, progress: Progress | None = None, timeout_seconds: float = START_SECONDS_MAX) -> Self:
        """Fetch what is missing, format a new directory, start Kafka, and wait until it answers.

        `progress` sees the fetching (see `fetch_jars`), which `timeout_seconds` does not count.
        """
        if self.is_alive():
            raise RuntimeError(f"The broker at {self.bootstrap_servers} is already started.")
        self.stop()  # gives back what a broker held that was killed
        runtime = Runtime(find_java(), tuple(fetch_jars(self.version, progress=progress)), self.heap_mb)
        self._owner_pid = os.getpid()
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self._lock = DirectoryLock.take(self.data_dir)
            self._write_log_settings()
            self._launch(runtime, time.monotonic() + timeout_seconds)
        except OSError as error:
            self.stop()
            raise BrokerUnavailable(
                f"The broker cannot use {self.data_dir} ({error.strerror or error}); choose another data directory, or"
                f" {USE_YOUR_OWN}."
            ) from error
        except BaseException:
            self.stop()
            raise
        atexit.register(self._stop_at_exit)
        return self

    def stop(self, *, grace_seconds: float = STOP_SECONDS_MAX) -> None:
        """Ask Kafka to close its files and end; kill it if it does not in time. Stopping twice equals once."""
        atexit.unregister(self._stop_at_exit)
        if self._process is not None:
            _end(self._process, grace_seconds)
            self._process = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self if self.is_alive() else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _stop_at_exit(self) -> None:
        # A fork of this process runs the same exit handlers, and the broker is not its own.
        if os.getpid() == self._owner_pid:
            self.stop()

    def _launch(self, runtime: "Runtime", deadline: float) -> None:
        """Start on ports that are free now; should another program take one before Kafka binds it, choose again."""
        for attempt in range(1, PORT_ATTEMPTS_MAX + 1):
            port = self._choose_port()
            self._write_server_properties(port)
            self._format_once(runtime, deadline)
            log_start = self._log_size()
            self._process = self._run(runtime, "kafka.Kafka", "server.properties")
            fault = self._await_answer(self._process, port, deadline)
            if fault is None:
                self._port = port
                return
            _end(self._process, STOP_SECONDS_MAX)
            self._process = None
            said = self._log_since(log_start)
            if "Address already in use" not in said or attempt == PORT_ATTEMPTS_MAX:
                raise self._did_not_start(fault, said)

    def _choose_port(self) -> int:
        if self._wanted_port is not None:
            if not _is_free(self._wanted_port):
                raise BrokerUnavailable(
                    f"Port {self._wanted_port} of {HOST}, which the broker was told to use, is taken; stop what listens"
                    " there, or choose another port."
                )
            return self._wanted_port
        if self._port is not None and _is_free(self._port):
            return self._port
        return free_port()

    def _write_server_properties(self, port: int) -> None:
        controller_port = free_port(but=port)
        text = SERVER_PROPERTIES.format(
            host=HOST, port=port, controller_port=controller_port, message_bytes_max=MESSAGE_BYTES_MAX
        )
        if self._secured is not None:
            # Of a key that comes twice, the later one counts.
            text += self._secured.properties(f"PLAINTEXT://{HOST}:{port}", f"CONTROLLER://{HOST}:{controller_port}")
        (self.data_dir / "server.properties").write_text(text, encoding="ascii")

    def _write_log_settings(self) -> None:
        (self.data_dir / "log4j.properties").write_text(LOG4J_1_PROPERTIES, encoding="ascii")
        (self.data_dir / "log4j2.properties").write_text(LOG4J_2_PROPERTIES, encoding="ascii")
        if self._log_size() > LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    def _format_once(self, runtime: "Runtime", deadline: float) -> None:
        """Give a new directory its cluster id; a restart keeps it, and with it the data."""
        if self._cluster_id() is not None:
            return
        log_start = self._log_size()
        # 16 bytes without padding, and never a dash first, which a command line would take for an option.
        new_id = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        arguments: tuple[str, ...] = (
            "format",
            "--cluster-id",
            new_id,
            "--config",
            "server.properties",
            "--ignore-formatted",
        )
        if self._secured is not None:
            arguments += self._secured.format_arguments()
        formatting = self._run(runtime, "kafka.tools.StorageTool", *arguments)
        try:
            formatting.wait(max(deadline - time.monotonic(), 1.0))
        except subprocess.TimeoutExpired:
            raise self._did_not_start("formatting its directory took too long", self._log_since(log_start)) from None
        finally:
            _end(formatting, grace_seconds=0)
        if formatting.returncode != 0 or self._cluster_id() is None:
            fault = f"formatting its directory ended with exit status {formatting.returncode}"
            raise self._did_not_start(fault, self._log_since(log_start))

    def _cluster_id(self) -> str | None:
        try:
            text = (self.data_dir / "topics" / "meta.properties").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        match = re.search(r"^cluster\.id=(\S+)$", text, re.MULTILINE)
        # In a properties file Java escapes "=" and ":", which an id of base64 without padding has not.
        return match[1] if match else None

    def _run(self, runtime: "Runtime", *arguments: str) -> subprocess.Popen[bytes]:
        assert self._lock is not None
        with self.log_file.open("ab") as log:
            return spawn(
                [*runtime.command(), *arguments],
                cwd=self.data_dir,
                env=runtime.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # As long as Kafka lives the directory is taken, even when we are not there any more.
                pass_fds=(self._lock.descriptor,),
                # Ctrl-C in a terminal goes to every process of the foreground; this one must outlive its clients.
                start_new_session=True,
            )

    def _await_answer(self, process: subprocess.Popen[bytes], port: int, deadline: float) -> str | None:
        """None once our own broker answers and sends clients to itself; else what went wrong."""
        cluster_id = self._cluster_id()
        while process.poll() is None:
            answer = ask_cluster(HOST, port)
            # Another program could sit on the port, even another Kafka; a broker that is not yet unfenced names nobody.
            if answer is not None and answer.cluster_id == cluster_id and (HOST, port) in answer.brokers:
                return None
            if time.monotonic() > deadline:
                return "it did not answer in time"
            time.sleep(POLL_SECONDS)
        return f"it ended with exit status {process.returncode}"

    def _did_not_start(self, fault: str, said: str) -> BrokerUnavailable:
        reason = reason_in_log(said)
        return BrokerUnavailable(
            f"Kafka {self.version} did not start: {fault}{f': {reason}' if reason else ''}; its log is {self.log_file};"
            f" mend that, or {USE_YOUR_OWN}."
        )

    def _log_size(self) -> int:
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def _log_since(self, start: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(start)
            return log.read(LOG_BYTES_MAX).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class SecuredListener:
    """A second door of the broker, SASL (SCRAM) over TLS, with Kafka's authorizer behind it.

    Who comes by the plain one, which only this machine reaches, may do everything. PEM files; the key is not encrypted.
    """

    port: int
    cert_and_key_file: Path
    passwords: Mapping[str, str]
    mechanism: str = "SCRAM-SHA-512"

    def properties(self, plain: str, controller: str) -> str:
        """Lines of server.properties."""
        secured = f"SECURED://{HOST}:{self.port}"
        return "\n".join(
            [
                "",
                f"listeners={plain},{secured},{controller}",
                f"advertised.listeners={plain},{secured}",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_SSL",
                f"sasl.enabled.mechanisms={self.mechanism}",
                f"listener.name.secured.{self.mechanism.lower()}.sasl.jaas.config={_SCRAM} required;",
                "listener.name.secured.ssl.keystore.type=PEM",
                f"listener.name.secured.ssl.keystore.location={self.cert_and_key_file}",
                "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users=User:ANONYMOUS",
                "allow.everyone.if.no.acl.found=false",
                "",
            ]
        )

    def format_arguments(self) -> tuple[str, ...]:
        """What gives a new directory its users."""
        return tuple(
            word
            for name, password in self.passwords.items()
            for word in ("--add-scram", f"{self.mechanism}=[name={name},password={password}]")
        )


@dataclass(frozen=True, slots=True)
class Runtime:
    """A Java with Kafka's jars, sized for one machine."""

    java: Java
    jars: Sequence[Path]
    heap_mb: int

    def command(self) -> list[str]:
        """The launcher with what it takes to start fast, stay small and die loudly."""
        return [
            str(self.java.executable),
            f"-Xmx{self.heap_mb}m",
            "-XX:TieredStopAtLevel=1",  # the second compiler costs more than it gives in a process this young
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:ErrorFile=jvm-crash-%p.log",
            "-XX:-UsePerfData",
            "-Djava.awt.headless=true",
            "-Dlog4j.configuration=file:log4j.properties",
            "-Dlog4j2.configurationFile=log4j2.properties",
        ]

    def environment(self) -> dict[str, str]:
        """Ours, without our secrets; with an encoding in which every file name can be written."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CALLWEAVE_")}
        return {**inherited, "CLASSPATH": os.pathsep.join(map(str, self.jars)), "LC_ALL": "C.UTF-8"}


def reason_in_log(text: str) -> str | None:
    """The line of Kafka's log that best says why it ended: the innermost cause, else an exception, else an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (
        r"Caused by: (?:[\w$]+\.)*(.+)",
        r'(?:Exception in thread "[^"]*" )?(?:[\w$]+\.)+([\w$]+(?:Exception|Error): .+)',
        r".* (?:ERROR|FATAL) +(.+)",
        r"(Error.+)",
        r"(.+)",
    ):
        if found := [match for line in lines if (match := re.fullmatch(pattern, line))]:
            return found[-1][1]
    return None


def free_port(*, but: int | None = None) -> int:
    """A port that nobody listens on at this moment; `but` is one that has been promised already."""
    for _ in range(200):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        if port != but and _is_free(port):
            return port
    raise BrokerUnavailable(
        f"No free port was found between {PORTS.start} and {PORTS.stop - 1} of {HOST}; choose one, or {USE_YOUR_OWN}."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Java does it: a port with connections that are only winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(grace_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
