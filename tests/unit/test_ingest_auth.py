import base64

import pytest

from ingest.access import Credentials, authenticator_of
from ingest.auth import (
    BASIC_CHALLENGE,
    QUERY_CHALLENGE,
    Authenticator,
    Authorised,
    BasicAuthenticator,
    OpenDoor,
    Presented,
    Refused,
    TokenAuthenticator,
)


def basic(user: str, password: str, *, encoding: str = "utf-8", scheme: str = "Basic") -> Presented:
    return Presented(f"{scheme} {base64.b64encode(f'{user}:{password}'.encode(encoding)).decode()}")


RIGHT = BasicAuthenticator("tccc", ["pässword:1", "old"])


@pytest.mark.parametrize(
    "presented",
    [
        basic("tccc", "pässword:1"),
        basic("tccc", "pässword:1", encoding="latin-1"),
        basic("tccc", "pässword:1", scheme="bAsIc"),
        basic("tccc", "pässword:1", scheme="Basic  "),
        basic("tccc", "old"),
    ],
)
async def test_the_right_user_with_a_right_password_is_authorised(presented: Presented) -> None:
    assert await RIGHT.authorise(presented) == Authorised()


@pytest.mark.parametrize(
    "presented",
    [
        Presented(None),
        Presented(""),
        Presented("Basic"),
        Presented("Basic "),
        Presented("Basic !!!"),
        Presented("Basic Zm9v\udc80"),
        Presented("Basic Zm9v"),
        Presented("Bearer abc"),
        basic("tccc", "pässword:1", scheme="Bearer"),
        basic("tccc", "wrong"),
        basic("tccc", ""),
        basic("", "pässword:1"),
        basic("other", "pässword:1"),
        basic("TCCC", "pässword:1"),
        basic("tccc", "pässword"),
    ],
)
async def test_anything_else_is_refused_with_a_challenge(presented: Presented) -> None:
    assert await RIGHT.authorise(presented) == Refused(BASIC_CHALLENGE)


async def test_user_and_password_are_both_compared_whichever_fails_first(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr("ingest.auth.hmac.compare_digest", counting)
    counts = []
    for presented in (Presented(None), basic("x", "y"), basic("tccc", "y"), basic("tccc", "old")):
        compared.clear()
        await RIGHT.authorise(presented)
        counts.append(len(compared))

    assert len(set(counts)) == 1


async def test_a_text_beyond_latin_1_has_one_spelling() -> None:
    chinese = BasicAuthenticator("客服", ["密码"])

    assert await chinese.authorise(basic("客服", "密码")) == Authorised()


@pytest.mark.parametrize(("user", "passwords"), [("", ["p"]), ("u", []), ("u", ["", ""]), ("u:v", ["p"])])
def test_basic_authentication_that_cannot_work_is_refused_at_once(user: str, passwords: list[str]) -> None:
    with pytest.raises(ValueError, match="basic authentication"):
        BasicAuthenticator(user, passwords)


async def test_an_empty_previous_password_opens_nothing() -> None:
    door = authenticator_of(Credentials(auth="basic", username="tccc", password="p", password_previous=""))

    assert await door.authorise(basic("tccc", "")) == Refused(BASIC_CHALLENGE)


async def test_the_open_door_authorises_everybody() -> None:
    assert await OpenDoor().authorise(Presented("Basic whatever")) == Authorised()


@pytest.mark.parametrize(("tokens", "is_right"), [(("s3",), True), (("x", "s3"), True), (("x",), False), ((), False)])
async def test_any_token_may_be_the_right_one(tokens: tuple[str, ...], is_right: bool) -> None:
    door = TokenAuthenticator("s3", OpenDoor())

    outcome = await door.authorise(Presented(None, tokens))

    assert outcome == (Authorised() if is_right else Refused(QUERY_CHALLENGE))


async def test_a_token_and_a_password_are_both_asked_for() -> None:
    door: Authenticator = authenticator_of(Credentials(auth="basic", username="u", password="p", url_token="s3"))
    authorization = basic("u", "p").authorization

    assert await door.authorise(Presented(authorization, ("s3",))) == Authorised()
    assert await door.authorise(Presented(authorization, ("no",))) == Refused(QUERY_CHALLENGE)
    assert await door.authorise(Presented(None, ("s3",))) == Refused(BASIC_CHALLENGE)


async def test_a_token_that_no_utf_8_can_hold_is_refused_not_an_error() -> None:
    assert await TokenAuthenticator("s3", OpenDoor()).authorise(Presented(None, ("\udc80",))) == Refused(
        QUERY_CHALLENGE
    )


def test_an_empty_token_cannot_be_set_by_accident() -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        TokenAuthenticator("", OpenDoor())


def test_secrets_do_not_show_in_the_options() -> None:
    shown = repr(Credentials(password="abc-1", password_previous="abc-2", url_token="abc-3", client_secret="abc-4"))

    assert "abc" not in shown
