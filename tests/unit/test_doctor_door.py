"""What `doctor` says of credentials and encryption, in every mode."""

import socket
from pathlib import Path
from typing import Any

import pytest

from callweave.doctor import _credentials, _encryption
from callweave.settings import Settings
from tests.support.certificates import write_pair

LONG = "a-long-enough-secret"
PUBLIC = {"host": "0.0.0.0"}  # noqa: S104  (nothing listens)


def settings(*, tenants: Any = (), **receiver: Any) -> Settings:
    return Settings.model_validate({"receiver": receiver, "tenants": tenants})


@pytest.mark.parametrize(
    ("receiver", "is_ok", "words"),
    [
        ({}, True, "before it is public"),
        (PUBLIC, False, "anybody who finds the push address may push"),
        ({**PUBLIC, "url_token": LONG}, True, "auth none, URL token"),
        ({"auth": "basic", "username": "u", "password": LONG}, True, "auth basic"),
        ({"auth": "basic", "username": "u", "password": "short"}, False, "password: shorter than 12"),
        (
            {"auth": "basic", "username": "u", "password": LONG, "password_previous": "old"},
            True,
            "the previous secret is accepted too",
        ),
        ({"auth": "oauth2", "client_id": "c", "client_secret": LONG}, True, "tokens from /oauth2/token"),
        ({"auth": "oauth2", "client_id": "c", "client_secret": "short"}, False, "client_secret: shorter"),
    ],
)
def test_credentials_are_judged_in_every_mode(receiver: dict[str, Any], is_ok: bool, words: str) -> None:
    finding = _credentials(settings(**receiver))

    assert (finding.is_ok, words in finding.finding) == (is_ok, True), finding.finding
    assert LONG not in finding.finding


def test_each_tenant_is_named_with_its_accounts() -> None:
    tenants = [
        {"name": "north", "sdk_app_ids": [1, 2], "auth": "basic", "username": "n", "password": LONG},
        {"name": "south", "sdk_app_ids": [3], "url_token": "short"},
    ]

    assert _credentials(settings(tenants=tenants)).finding.startswith("south's url_token: shorter")
    tenants[1]["url_token"] = LONG
    finding = _credentials(settings(tenants=tenants))
    assert finding.is_ok
    assert finding.finding == (
        "tenant north (SdkAppId 1, 2): auth basic; tenant south (SdkAppId 3): auth none, URL token"
    )


def test_an_identity_provider_whose_keys_cannot_be_had_is_a_fault() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/jwks"
        finding = _credentials(settings(auth="oauth2", jwks_url=url, issuer="i", audience="a"))

    assert not finding.is_ok
    assert "keys cannot be fetched" in finding.finding


def test_encryption_is_the_receivers_or_a_proxys_or_a_fault(tmp_path: Path) -> None:
    files = write_pair(tmp_path)
    tls = {"tls_cert_file": str(files.cert_file), "tls_key_file": str(files.key_file)}

    assert "good until" in _encryption(settings(**PUBLIC, **tls)).finding
    assert _encryption(settings()).is_ok
    assert _encryption(settings(**PUBLIC, trusted_proxies="10.0.0.0/8")).is_ok
    assert not _encryption(settings(**PUBLIC)).is_ok
    write_pair(tmp_path, days=3)
    assert "expires in 2 days" in _encryption(settings(**tls)).finding
    write_pair(tmp_path, days=-1)
    assert "expired at" in _encryption(settings(**tls)).finding
    files.key_file.write_text("rubbish")
    assert not _encryption(settings(**tls)).is_ok
