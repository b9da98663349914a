import pytest

from ingest.query import TOKENS_MAX, read_query


@pytest.mark.parametrize(
    ("raw", "action"),
    [
        ("action=cdr&version=1", "cdr"),
        ("action=voicemail", "voicemail"),
        ("token=x?action=record&version=1", "record"),
        ("?action=cdr", "cdr"),
        ("token=x&?action=cdr", "cdr"),
        ("token=x;action=cdr;version=1", "cdr"),
        ("Action=videoCdr", "videoCdr"),
        ("ACTION=cdr", "cdr"),
        ("%61ction=%63dr", "cdr"),
        ("action=mine&action=cdr", "cdr"),
        ("action=cdr&action=", "cdr"),
        ("action=%20cdr%20", "cdr"),
        ("action=", None),
        ("action", None),
        ("", None),
        ("version=1", None),
        ("action=%ZZ%", "%ZZ%"),
        ("xaction=cdr", None),
    ],
)
def test_the_action_is_found_however_tccc_appends_it(raw: str, action: str | None) -> None:
    assert read_query(raw).action == action


@pytest.mark.parametrize(
    ("raw", "token"),
    [
        ("token=s3cret&action=cdr", "s3cret"),
        ("token=wrong&token=s3cret", "s3cret"),
        ("token=s3cret?action=cdr", "s3cret"),
        ("TOKEN=s3cret", "s3cret"),
        ("token=a%2Bb", "a+b"),
        ("token=a+b", "a+b"),
        ("token=a+b", "a b"),
        ("token=a;b&action=cdr", "a;b"),
        ("token=%C3%A9", "é"),
    ],
)
def test_the_token_is_among_the_readings(raw: str, token: str) -> None:
    assert token in read_query(raw).tokens


def test_no_token_gives_no_reading() -> None:
    assert read_query("action=cdr&version=1").tokens == ()


def test_a_flood_of_tokens_is_bounded() -> None:
    flood = "&".join(f"token={number}" for number in range(1000))

    assert len(read_query(flood).tokens) == TOKENS_MAX
