"""Settings of who may push: whole or refused with one sentence, and every secret from the place that is said."""

from pathlib import Path

import pytest

from callweave.mask_key import mask_key
from callweave.roles.receiver import access_of
from callweave.settings import MisconfiguredError, Settings, load_settings
from callweave.tenant_settings import revealed

TWO = """
[[tenants]]
name = "north"
sdk_app_ids = [1, 11]
auth = "basic"
username = "north"
password = "north-password"
api = { secret_id = "AKID", secret_key = "api-secret", region = "ap-guangzhou" }

[[tenants]]
name = "south-west"
sdk_app_ids = [2]
auth = "oauth2"
client_id = "south"
client_secret = "south-secret"
url_token = "south-token"
"""


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("CALLWEAVE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def read(text: str, tmp_path: Path) -> Settings:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    return load_settings(file)


def refusal(text: str, tmp_path: Path) -> str:
    with pytest.raises(MisconfiguredError) as caught:
        read(text, tmp_path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_two_accounts_live_in_one_file(tmp_path: Path) -> None:
    settings = read(TWO, tmp_path)

    assert [(tenant.name, tenant.sdk_app_ids) for tenant in settings.tenants] == [
        ("north", (1, 11)),
        ("south-west", (2,)),
    ]
    assert revealed(settings.tenants[0].api.secret_key) == "api-secret"
    assert "north-password" not in repr(settings)
    assert access_of(settings).tokens is not None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('name = "south-west"', 'name = "NORTH"'), "share the name"),
        (("sdk_app_ids = [2]", "sdk_app_ids = [11]"), "share an SdkAppId (11)"),
        (("sdk_app_ids = [2]", "sdk_app_ids = []"), "tenants.1.sdk_app_ids"),
        (("sdk_app_ids = [2]", "sdk_app_ids = [0]"), "tenants.1.sdk_app_ids"),
        (('client_id = "south"', ""), "client_id and client_secret go together"),
        (('auth = "oauth2"', 'auth = "none"'), "client_id or client_secret is set but auth is 'none'"),
        (('password = "north-password"', ""), "needs username and password"),
        (('username = "north"', 'username = "no:rth"'), "cannot contain a colon"),
        (('secret_id = "AKID", ', ""), "api.secret_id and api.secret_key go together"),
        (('region = "ap-guangzhou"', 'place = "x"'), "unknown setting tenants.0.api.place"),
        (('url_token = "south-token"', 'url_tokn = "x"'), "unknown setting tenants.1.url_tokn"),
    ],
)
def test_accounts_that_cannot_be_told_apart_or_are_half_set_are_refused(
    change: tuple[str, str], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refusal(TWO.replace(*change), tmp_path)


@pytest.mark.parametrize(
    ("tenant", "sentence"),
    [
        ('name = "a"\nsdk_app_ids = [1]', "asks for no credentials"),
        ('name = "a"\nsdk_app_ids = [1]\nauth = "oauth2"', "needs client_id and client_secret of its own"),
    ],
)
def test_a_tenant_without_credentials_is_refused(tenant: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(f"[[tenants]]\n{tenant}\n", tmp_path)


def test_two_tenants_with_the_same_credentials_are_refused_without_showing_them(tmp_path: Path) -> None:
    one = '[[tenants]]\nname = "a"\nsdk_app_ids = [1]\nurl_token = "same-token"\n'
    sentence = refusal(one + one.replace('"a"', '"b"').replace("[1]", "[2]"), tmp_path)

    assert "share the credentials" in sentence
    assert "same-token" not in sentence


@pytest.mark.parametrize(
    "line",
    [
        'auth = "basic"\nusername = "u"\npassword = "p"',
        'url_token = "x"',
        'auth = "oauth2"\nclient_id = "x"\nclient_secret = "y"',
        'auth = "oauth2"\njwks_url = "https://x"\nissuer = "i"\naudience = "a"',
        "sdk_app_ids = [1]",
    ],
)
def test_with_tenants_the_global_credentials_must_be_unset(line: str, tmp_path: Path) -> None:
    assert "with tenants, receiver." in refusal(f"[receiver]\n{line}\n{TWO}", tmp_path)


@pytest.mark.parametrize(
    ("receiver", "sentence"),
    [
        ('auth = "oauth2"', "needs client_id and client_secret"),
        ('auth = "oauth2"\nclient_id = "x"', "go together"),
        ('auth = "basic"\nclient_id = "x"\nusername = "u"\npassword = "p"', "auth is 'basic'"),
        ('auth = "oauth2"\nclient_id = "x"\nclient_secret = "y"\nusername = "u"', "auth is 'oauth2'"),
        ('auth = "oauth2"\njwks_url = "https://x"', "go together"),
        ('jwks_url = "https://x"\nissuer = "i"\naudience = "a"', "auth is 'none'"),
        ('auth = "oauth2"\njwks_url = "ftp://x"\nissuer = "i"\naudience = "a"', "jwks_url"),
        (
            'auth="oauth2"\njwks_url="https://x"\nissuer="i"\naudience="a"\nclient_id="x"\nclient_secret="y"',
            "set one",
        ),
        (
            'auth = "oauth2"\njwks_url = "https://x"\nissuer = "i"\naudience = "a"\njwks_algorithm = "HS256"',
            "jwks_algorithm",
        ),
        ('tls_cert_file = "x"', "go together"),
        ('trusted_proxies = ["10.0.0.0/99"]', "no address and no network"),
        ("token_ttl_seconds = 1", "token_ttl_seconds"),
        ('token_key = "short"', "token_key"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(receiver: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(f"[receiver]\n{receiver}\n", tmp_path)


def test_lists_in_the_environment_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLWEAVE_RECEIVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7")
    monkeypatch.setenv("CALLWEAVE_RECEIVER__SDK_APP_IDS", "1400000001,1400000002")

    receiver = load_settings().receiver

    assert receiver.trusted_proxies == ("10.0.0.0/8", "192.0.2.7")
    assert receiver.sdk_app_ids == (1400000001, 1400000002)


def test_secrets_of_the_file_may_stand_in_files_and_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    text = TWO.replace('password = "north-password"', f'password_file = "{secret}"')
    text = text.replace('secret_key = "api-secret"', f'secret_key_file = "{secret}"')
    text = text.replace('client_secret = "south-secret"\n', "").replace('url_token = "south-token"', "")
    monkeypatch.setenv("CALLWEAVE_TENANTS__SOUTH_WEST__CLIENT_SECRET", "from-the-environment")
    monkeypatch.setenv("CALLWEAVE_TENANTS__SOUTH_WEST__URL_TOKEN_FILE", str(secret))

    north, south = read(text, tmp_path).tenants

    assert revealed(north.password) == revealed(north.api.secret_key) == revealed(south.url_token) == "from-a-file"
    assert revealed(south.client_secret) == "from-the-environment"


def test_a_global_secret_may_stand_in_a_file_that_the_settings_file_names(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    settings = read(f'[receiver]\nauth = "basic"\nusername = "u"\npassword_file = "{secret}"\n', tmp_path)

    assert revealed(settings.receiver.password) == "from-a-file"


def test_a_secret_is_said_once_and_where_it_can_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    twice = TWO.replace('username = "north"', 'username = "north"\npassword_file = "x"')
    assert "both tenants[0].password and tenants[0].password_file are set" in refusal(twice, tmp_path)
    gone = TWO.replace('password = "north-password"', 'password_file = "/nowhere"')
    assert "tenants[0].password_file names /nowhere, which cannot be read" in refusal(gone, tmp_path)
    monkeypatch.setenv("CALLWEAVE_TENANTS__NORTH__PASSWORD", "x")
    assert "keep one" in refusal(TWO, tmp_path)


def test_a_variable_that_belongs_to_no_tenant_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALLWEAVE_TENANTS__EAST__PASSWORD", "x")

    assert "CALLWEAVE_TENANTS__EAST__PASSWORD in the environment belongs to no tenant" in refusal(TWO, tmp_path)
    with pytest.raises(MisconfiguredError, match="belongs to no tenant"):
        load_settings()


def test_the_key_of_the_masks_is_made_once_and_nobody_elses(tmp_path: Path) -> None:
    made = mask_key(tmp_path / "data")

    assert mask_key(tmp_path / "data") == made
    assert len(made) == 32
    assert (tmp_path / "data" / "mask.key").stat().st_mode & 0o077 == 0


def test_waiting_for_a_push_without_a_receiver_says_what_to_start(tmp_path: Path) -> None:
    from callweave.await_push import await_push

    with pytest.raises(MisconfiguredError, match=r"no receiver runs on .*: start `callweave up`"):
        await_push(load_settings(data_dir=tmp_path), 1, tell=print)
