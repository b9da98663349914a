"""A Kafka as a company runs it: SCRAM over TLS, its authorizer on, a user for each role, and some who lack a right."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from callweave.acls import Client
from callweave.broker.local import LocalBroker, SecuredListener, free_port
from tests.support.broker import kafka_version
from tests.support.certificates import write_pair
from tests.support.program import Program

PASSWORD = "password-of-the-test-broker"
LAME = "lame-"
"""Before a role's name: a user who is not given everything that the role needs."""
MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True)
class SecuredKafka:
    """Its two doors: the plain one is the Kafka administrator's."""

    plain: str
    secured: str
    ca_file: Path

    def administrator(self, folder: Path, prefix: str) -> Program:
        return Program(folder / "data", self.plain, prefix)

    def client(self, folder: Path, prefix: str, name: str) -> Program:
        """The program with the credentials of a role."""
        settings = {
            "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA__SASL_MECHANISM": MECHANISM,
            "KAFKA__SASL_USERNAME": f"callweave-{name}",
            "KAFKA__SASL_PASSWORD": PASSWORD,
            "KAFKA__SSL_CAFILE": str(self.ca_file),
        }
        return Program(folder / "data", self.secured, prefix, settings)


@contextmanager
def secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Start it; the certificate is its own authority."""
    pair = write_pair(folder / "tls")
    both = folder / "tls" / "both.pem"
    both.write_bytes(pair.key_file.read_bytes() + pair.cert_file.read_bytes())
    names = [f"callweave-{lame}{client}" for client in Client for lame in ("", LAME)]
    port = free_port()
    listener = SecuredListener(port, both, dict.fromkeys(names, PASSWORD), MECHANISM)
    with LocalBroker(folder / "broker", version=kafka_version(), secured=listener) as broker:
        yield SecuredKafka(broker.bootstrap_servers, f"127.0.0.1:{port}", pair.cert_file)
