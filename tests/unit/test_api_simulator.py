"""The API simulator, as Tencent's own SDK sees it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tencentcloud.ccc.v20200210.models import DescribeTelCdrRequest
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException

from callweave.simulator.api.access import DEFAULT_SECRET, Secret
from callweave.simulator.api.server import ApiServer
from callweave.simulator.facts import Session
from callweave.simulator.office import SDK_APP_IDS
from tests.support.api import NOW, Caller, a_ledger_of, served, some_sessions

APP, OTHER_APP = SDK_APP_IDS
DAY = 86_400
SESSIONS = some_sessions()
OF_APP = [session for session in SESSIONS if session.sdk_app_id == APP]
WINDOW = {"SdkAppId": APP, "StartTimeStamp": NOW - 3 * DAY, "EndTimeStamp": NOW, "PageSize": 100, "PageNumber": 0}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower() in {"http_proxy", "https_proxy", "all_proxy"}]:
        monkeypatch.delenv(name)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return a_ledger_of(tmp_path, SESSIONS)


@pytest.fixture
async def api(ledger: Path) -> AsyncIterator[tuple[ApiServer, Caller]]:
    async with served(ledger) as both:
        yield both


async def code_of(caller: Caller, action: str, **parameters: Any) -> str:
    with pytest.raises(TencentCloudSDKException) as raised:
        await caller.ask(action, **parameters)
    return str(raised.value.code)


async def all_rows(caller: Caller, *, size: int = 100, **window: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    number = 0
    while True:
        page = await caller.ask("DescribeTelCdr", **(WINDOW | window | {"PageSize": size, "PageNumber": number}))
        rows += page["TelCdrList"]
        number += 1
        if len(page["TelCdrList"]) < size:
            return rows


def session_with(sessions: tuple[Session, ...], wanted: Any) -> Session:
    return next(session for session in sessions if wanted(session))


async def test_the_sdk_reads_every_session_page_by_page(api):
    _, caller = api

    rows = await all_rows(caller, size=7)

    assert {row["SessionId"] for row in rows} == {session.session_id for session in OF_APP}
    assert len(rows) == len(OF_APP) > 20


async def test_the_sdk_fills_its_own_models(api):
    _, caller = api
    request = DescribeTelCdrRequest()
    for name, value in WINDOW.items():
        setattr(request, name, value)

    response = await asyncio.to_thread(caller.client.DescribeTelCdr, request)

    assert response.TotalCount == len(response.TelCdrList) == len(OF_APP)
    first = response.TelCdrList[0]
    told = session_with(SESSIONS, lambda session: session.session_id == first.SessionId)
    assert first.StartTimestamp == first.Time == told.calls[0].started
    assert len(response.RequestId) == 36


@pytest.mark.parametrize(("choice", "names"), [("new", {"TelCdrList"}), ("old", {"TelCdrs"})])
async def test_rows_stand_in_the_field_that_was_chosen(ledger, choice, names):
    async with served(ledger, list_field=choice) as (_, caller):
        response = await caller.ask("DescribeTelCdr", **WINDOW)

    assert {"TelCdrList", "TelCdrs"} & response.keys() == names


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"PageSize": 0}, "InvalidParameterValue"),
        ({"PageSize": 101}, "InvalidParameterValue"),
        ({"PageNumber": -1}, "InvalidParameterValue"),
        ({"StartTimeStamp": NOW - 181 * DAY, "EndTimeStamp": NOW - 180 * DAY}, "InvalidParameterValue"),
        ({"StartTimeStamp": NOW - 90 * DAY}, "InvalidParameterValue"),
        ({"EndTimeStamp": NOW - 4 * DAY}, "InvalidParameterValue"),
        ({"PageSize": "20"}, "InvalidParameter"),
        ({"SdkAppId": 1}, "InvalidParameterValue.InstanceNotExist"),
        ({"NoSuchThing": 1}, "UnknownParameter"),
    ],
)
async def test_what_is_out_of_range_is_refused(api, change, code):
    _, caller = api

    assert await code_of(caller, "DescribeTelCdr", **(WINDOW | change)) == code


async def test_widest_and_oldest_windows_that_are_allowed_are_answered(api):
    _, caller = api

    await caller.ask("DescribeTelCdr", **(WINDOW | {"StartTimeStamp": NOW - 90 * DAY + 1}))
    oldest = {"StartTimeStamp": NOW - 180 * DAY + 60, "EndTimeStamp": NOW - 91 * DAY}
    assert (await caller.ask("DescribeTelCdr", **(WINDOW | oldest)))["TotalCount"] == 0


async def test_both_ends_of_a_window_count(api):
    _, caller = api
    started = OF_APP[3].calls[0].started

    for start, end, found in (
        (started, started, True),
        (started + 1, started + 1, False),
        (started - 1, started, True),
    ):
        rows = await all_rows(caller, StartTimeStamp=start, EndTimeStamp=end)
        assert (OF_APP[3].session_id in {row["SessionId"] for row in rows}) == found


async def test_a_missing_parameter_is_named(api):
    _, caller = api

    with pytest.raises(TencentCloudSDKException, match="PageNumber"):
        await caller.ask("DescribeTelCdr", **{name: value for name, value in WINDOW.items() if name != "PageNumber"})


async def test_filters_find_calls_by_phone_and_by_session(api):
    _, caller = api
    inbound = session_with(tuple(OF_APP), lambda session: session.calls[0].call_type == 2)

    by_phone = await all_rows(caller, Phones=[inbound.calls[0].caller])
    by_session = await all_rows(caller, SessionIds=[inbound.session_id])

    assert inbound.session_id in {row["SessionId"] for row in by_phone}
    assert all(inbound.calls[0].caller in {row["Caller"], row["Callee"]} for row in by_phone)
    assert [row["SessionId"] for row in by_session] == [inbound.session_id]


async def test_unknown_actions_and_versions_are_refused(api):
    _, caller = api

    assert await code_of(caller, "DescribeEverything") == "InvalidAction"
    caller.client._apiVersion = "2019-01-01"
    assert await code_of(caller, "DescribeTelCdr", **WINDOW) == "NoSuchVersion"


# Signatures


async def test_a_wrong_key_and_an_unknown_id_are_told_apart(api):
    server, _ = api
    wrong_key = Caller(server.endpoint, DEFAULT_SECRET.secret_id, "another key")
    unknown = Caller(server.endpoint, "AKIDnobody", "key")

    assert await code_of(wrong_key, "DescribeTelCdr", **WINDOW) == "AuthFailure.SignatureFailure"
    assert await code_of(unknown, "DescribeTelCdr", **WINDOW) == "AuthFailure.SecretIdNotFound"


@pytest.mark.parametrize("skew", [-310, 310])
async def test_a_clock_that_is_five_minutes_off_is_refused(ledger, skew):
    async with served(ledger, clock_skew_seconds=float(skew)) as (_, caller):
        assert await code_of(caller, "DescribeTelCdr", **WINDOW) == "AuthFailure.SignatureExpire"


async def test_a_body_that_was_changed_on_its_way_is_refused(api):
    server, caller = api
    sent = await _signed(caller, "DescribeTelCdr", WINDOW)
    sent["data"] = sent["data"].replace(b'"PageSize": 100', b'"PageSize": 101')

    assert await _code_of_raw(server, **sent) == "AuthFailure.SignatureFailure"


async def test_a_signature_without_the_host_is_refused(api):
    server, caller = api
    sent = await _signed(caller, "DescribeTelCdr", WINDOW)
    sent["headers"]["Authorization"] = sent["headers"]["Authorization"].replace("content-type;host", "content-type")

    assert await _code_of_raw(server, **sent) == "AuthFailure.SignatureFailure"


async def test_an_unsigned_payload_is_accepted_when_it_says_so(api):
    server, _ = api
    caller = Caller(server.endpoint, DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key)
    caller.client.profile.unsignedPayload = True

    assert (await caller.ask("DescribeTelCdr", **WINDOW))["TotalCount"] == len(OF_APP)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Authorization": "Basic abc"}, "AuthFailure.InvalidAuthorization"),
        ({"X-TC-Timestamp": "soon"}, "MissingParameter"),
        ({"Content-Type": "application/json; charset=utf-8"}, "UnsupportedProtocol"),
    ],
)
async def test_headers_that_are_not_tc3_are_refused(api, change, code):
    server, caller = api
    sent = await _signed(caller, "DescribeTelCdr", WINDOW)
    sent["headers"] |= change

    assert await _code_of_raw(server, **sent) == code


async def _signed(caller: Caller, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """What the SDK would send, to be changed before it is sent."""
    from tencentcloud.common.http.request import RequestInternal

    request = RequestInternal(caller.client.profile.httpProfile.endpoint, "POST", "/", header={})
    caller.client._build_req_inter(action, parameters, request, {})
    return {"headers": dict(request.header), "data": request.data.encode()}


async def _code_of_raw(server: ApiServer, *, headers: dict[str, str], data: bytes) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://{server.endpoint}/", headers=headers, data=data) as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        document = (await response.json())["Response"]
        assert document["RequestId"]
        return str(document["Error"]["Code"])


# Who may ask


async def test_each_secret_owns_its_applications(ledger):
    mine, theirs = Secret("AKIDmine", "k1", frozenset({APP})), Secret("AKIDtheirs", "k2", frozenset({OTHER_APP}))
    async with served(ledger, secrets=(mine, theirs)) as (server, _):
        caller = Caller(server.endpoint, "AKIDmine", "k1")

        assert (await caller.ask("DescribeTelCdr", **WINDOW))["TotalCount"] == len(OF_APP)
        assert await code_of(caller, "DescribeTelCdr", **(WINDOW | {"SdkAppId": OTHER_APP})) == "UnauthorizedOperation"
        bought = await caller.ask("DescribeCCCBuyInfoList")
        assert [app["SdkAppId"] for app in bought["SdkAppIdBuyList"]] == [APP]


async def test_a_key_is_revoked_and_restored_while_serving(api):
    server, caller = api

    server.control({"revoke": DEFAULT_SECRET.secret_id})
    assert await code_of(caller, "DescribeTelCdr", **WINDOW) == "AuthFailure.SecretIdNotFound"
    server.control({"restore": DEFAULT_SECRET.secret_id})
    await caller.ask("DescribeTelCdr", **WINDOW)


async def test_permission_may_be_missing_for_one_application_only(api):
    server, caller = api
    server.control({"deny": OTHER_APP})

    assert await code_of(caller, "DescribeTelCdr", **(WINDOW | {"SdkAppId": OTHER_APP})) == "UnauthorizedOperation"
    await caller.ask("DescribeTelCdr", **WINDOW)


# Limits and faults


async def test_the_twenty_first_request_of_a_moment_is_refused_and_counted(api):
    server, caller = api
    server.traffic.limit_per_second = 3

    codes = [await _code_or_ok(caller) for _ in range(5)]

    assert codes[:3] == ["ok"] * 3
    assert "RequestLimitExceeded" in codes[3:]
    flow = server.stats()["actions"]["DescribeTelCdr"]
    assert flow["requests"] == 5
    assert flow["per_second_max"] == 5
    assert flow["refused"] == codes.count("RequestLimitExceeded")


async def _code_or_ok(caller: Caller) -> str:
    try:
        await caller.ask("DescribeTelCdr", **WINDOW)
    except TencentCloudSDKException as error:
        return str(error.code)
    return "ok"


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        ("request_limit", {"RequestLimitExceeded"}),
        ("internal_error", {"InternalError", "InternalError.DBError"}),
        ("signature_expired", {"AuthFailure.SignatureExpire"}),
        ("http_500", {"ServerNetworkError"}),
        ("http_503", {"ServerNetworkError"}),
        ("malformed_json", {"JSONDecodeError"}),
        ("not_json", {"JSONDecodeError"}),
        ("cut", {"ClientNetworkError"}),
        ("cut_midway", {"ChunkedEncodingError"}),
        ("error_without_request_id", {"KeyError"}),
    ],
)
async def test_each_fault_reaches_the_sdk_as_its_own_error(ledger, fault, codes):
    async with served(ledger, faults={fault: 1.0}) as (server, _):
        caller = Caller(server.endpoint, DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key)
        request = DescribeTelCdrRequest()
        request._deserialize(dict(WINDOW))
        with pytest.raises(TencentCloudSDKException) as raised:
            await asyncio.to_thread(caller.client.DescribeTelCdr, request)

    assert raised.value.code in codes


async def test_a_charset_makes_the_sdk_overlook_an_error(ledger):
    async with served(ledger, faults={"charset": 1.0, "internal_error": 1.0}) as (_, caller):
        request = DescribeTelCdrRequest()
        request._deserialize(dict(WINDOW))
        response = await asyncio.to_thread(caller.client.DescribeTelCdr, request)

    assert response.TotalCount is None


async def test_a_slow_answer_runs_into_the_clients_timeout(ledger):
    async with served(ledger, faults={"slow": 1.0}, slow_seconds=1.3) as (server, _):
        caller = Caller(server.endpoint, DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key, timeout_seconds=1)
        assert await code_of(caller, "DescribeTelCdr", **WINDOW) == "ClientNetworkError"


async def test_a_server_that_is_down_cuts_every_connection_until_it_is_up(api):
    server, caller = api

    server.control({"down": True})
    assert await code_of(caller, "DescribeTelCdr", **WINDOW) == "ClientNetworkError"
    server.control({"down": False})
    await caller.ask("DescribeTelCdr", **WINDOW)


async def test_an_endpoint_with_a_scheme_is_what_the_sdk_signs(api):
    server, _ = api
    caller = Caller(f"http://{server.endpoint}", DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key)

    assert await _code_or_ok(caller) == "ok"


async def test_a_path_in_the_endpoint_breaks_the_signature(api):
    server, _ = api
    caller = Caller(f"{server.endpoint}/v1", DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key)

    assert await _code_or_ok(caller) != "ok"


@pytest.mark.parametrize(
    ("no_proxy", "code"),
    [("", "ClientNetworkError"), ("127.0.0.1", "ClientNetworkError"), ("127.0.0.1,{endpoint}", "ok")],
)
async def test_the_sdk_spares_this_machine_its_proxy_only_by_host_and_port(api, monkeypatch, no_proxy, code):
    server, _ = api
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy.format(endpoint=server.endpoint))
    caller = Caller(server.endpoint, DEFAULT_SECRET.secret_id, DEFAULT_SECRET.secret_key)

    assert await _code_or_ok(caller) == code


async def test_a_client_that_keeps_to_the_limit_is_never_refused(api):
    server, caller = api
    server.traffic.limit_per_second = 50

    for _ in range(60):
        await caller.ask("CreateSDKLoginToken", SdkAppId=APP, SeatUserId=_some_mail())
        await asyncio.sleep(0.02)

    flow = server.stats()["actions"]["CreateSDKLoginToken"]
    assert (flow["requests"], flow["refused"]) == (60, 0)
    assert 20 <= flow["per_second_max"] <= 50


def _some_mail() -> str:
    return next(leg.mail for session in OF_APP for leg in session.calls[0].legs if leg.mail)


async def test_stats_and_control_are_reached_over_http(api):
    server, caller = api
    await caller.ask("DescribeTelCdr", **WINDOW)
    base = f"http://{server.endpoint}"

    async with aiohttp.ClientSession() as http:
        async with http.post(f"{base}/control", json={"advance": 60, "faults": {"request-limit": 1}}) as response:
            assert response.status == 200
        for nonsense in ({"faults": {"no_such": 1}}, {"faults": 1}, {"advance": "soon"}, {"no_such": 1}, []):
            async with http.post(f"{base}/control", json=nonsense) as response:
                assert response.status == 400
        async with http.get(f"{base}/stats") as response:
            stats = await response.json()

    assert stats["actions"]["DescribeTelCdr"]["requests"] == 1
    assert stats["now"] >= NOW + 60
    assert await code_of(caller, "DescribeTelCdr", **WINDOW) == "RequestLimitExceeded"


# What rows say, and when


async def test_addresses_are_new_in_every_answer(api):
    _, caller = api

    first, second = await all_rows(caller), await all_rows(caller)

    def addresses(rows: list[dict[str, Any]]) -> list[str]:
        legs = [leg for row in rows for leg in row["ServeParticipants"]]
        return [one["RecordURL"] for one in [*rows, *legs] if one["RecordURL"]]

    everything = addresses(first) + addresses(second)
    assert len(addresses(first)) > 20
    assert len(set(everything)) == len(everything)


async def test_late_fields_come_when_the_clock_says_so(ledger):
    faults = {"record_url_later": 1.0, "remark_later": 1.0, "asr": 1.0}
    async with served(ledger, faults=faults, later_seconds=100.0 * DAY) as (server, caller):
        before = await all_rows(caller)
        server.control({"advance": 101 * DAY})
        after = await all_rows(caller, EndTimeStamp=NOW + DAY)

    assert not any(row["RecordURL"] or row["Remark"] for row in before)
    assert {row["AsrStatus"] for row in before} == {"Processing"}
    assert not any(row["AsrUrl"] for row in before)
    assert any(row["RecordURL"] for row in after)
    assert any(row["Remark"] for row in after)
    assert {row["AsrStatus"] for row in after} == {"Complete"}
    assert all(row["AsrUrl"] for row in after)


async def test_a_session_is_visible_only_after_the_delay(ledger):
    async with served(ledger, visibility_delay_seconds=100.0 * DAY) as (server, caller):
        assert await all_rows(caller) == []
        server.control({"advance": 101 * DAY})
        assert len(await all_rows(caller)) == len(OF_APP)


async def test_the_total_grows_while_a_client_pages(ledger):
    async with served(ledger, faults={"appears_while_paging": 0.3}) as (_, caller):
        first = await caller.ask("DescribeTelCdr", **(WINDOW | {"PageSize": 10}))
        second = await caller.ask("DescribeTelCdr", **(WINDOW | {"PageSize": 10, "PageNumber": 1}))
        again = await caller.ask("DescribeTelCdr", **(WINDOW | {"PageSize": 10}))

    assert first["TotalCount"] < second["TotalCount"] == again["TotalCount"] == len(OF_APP)


async def test_a_row_that_moves_is_overlooked_by_a_client_that_pages_once(ledger):
    async with served(ledger, faults={"moves_while_paging": 0.3}) as (_, caller):
        first, second = await all_rows(caller, size=10), await all_rows(caller, size=10)

    everything = {session.session_id for session in OF_APP}
    assert len(first) == len(second) == len(OF_APP)
    assert {row["SessionId"] for row in first} < everything
    assert {row["SessionId"] for row in second} == everything


async def test_a_row_that_changes_says_more_the_second_time(ledger):
    async with served(ledger, faults={"changes_while_paging": 1.0}) as (_, caller):
        first, second = await all_rows(caller), await all_rows(caller)

    assert not any(row["Remark"] or row["HungUpSide"] for row in first)
    assert any(row["Remark"] for row in second)
    assert all(row["HungUpSide"] for row in second)


async def test_what_fits_one_page_is_told_whole(ledger):
    async with served(ledger, faults={"appears_while_paging": 1.0}) as (_, caller):
        assert len(await all_rows(caller)) == len(OF_APP)


# The other actions


async def test_session_detail_is_flat_and_has_its_own_spelling(api):
    _, caller = api
    session = session_with(tuple(OF_APP), lambda session: session.calls[0].legs and session.calls[0].answered)

    times = {"StartTimestamp": NOW - 3 * DAY, "EndTimestamp": NOW}
    detail = await caller.ask("DescribeSessionDetail", SdkAppId=APP, SessionId=session.session_id, **times)

    assert detail["StartTimeStamp"] == session.calls[0].started
    assert len(detail["ServeParticipants"]) == len(session.calls[0].legs)
    assert not detail.keys() & {"RecordId", "Direction", "Duration", "StartTimestamp", "TotalCount"}
    unknown = await code_of(caller, "DescribeSessionDetail", SdkAppId=APP, SessionId="none", **times)
    assert unknown == "InvalidParameterValue.RecordNotExist"


async def test_protected_rows_hold_ids_in_place_of_numbers(api):
    _, caller = api

    page = await caller.ask("DescribeProtectedTelCdr", **WINDOW)

    assert len(page["TelCdrList"]) == len(OF_APP)
    assert all(row["Caller"] == row["Callee"] == "" for row in page["TelCdrList"])
    assert all(row["ProtectedCaller"].startswith("protected-") for row in page["TelCdrList"])


async def test_staff_and_skill_groups_are_those_of_the_calls(api):
    _, caller = api

    staff = await caller.ask("DescribeStaffInfoList", SdkAppId=APP, PageSize=9_999, PageNumber=0)
    groups = await caller.ask("DescribeSkillGroupInfoList", SdkAppId=APP, PageSize=100, PageNumber=0)

    mails = {leg.mail for session in OF_APP for leg in session.calls[0].legs if leg.mail}
    assert mails <= {member["Mail"] for member in staff["StaffList"]}
    ids = {leg.skill_group_id for session in OF_APP for leg in session.calls[0].legs if leg.skill_group_id}
    assert ids <= {group["SkillGroupId"] for group in groups["SkillGroupList"]}
    some_mail = min(mails)
    one = await caller.ask("DescribeStaffInfoList", SdkAppId=APP, PageSize=1, PageNumber=0, StaffMail=some_mail)
    assert [member["Mail"] for member in one["StaffList"]] == [some_mail]


async def test_status_history_is_read_by_cursor_to_its_end(api):
    _, caller = api
    mail = next(leg.mail for session in OF_APP for leg in session.calls[0].legs if leg.answered and leg.mail)
    window = {"SdkAppId": APP, "StaffUserId": mail, "StartTimestamp": NOW - 3 * DAY, "EndTimestamp": NOW}

    changes: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await caller.ask("DescribeStaffStatusHistory", **window, PageSize=2, Cursor=cursor)
        if not page["Data"]:
            break
        changes += page["Data"]
        cursor = page["Data"][-1]["Cursor"]

    whole = await caller.ask("DescribeStaffStatusHistory", **window, PageSize=100)
    assert [change["Timestamp"] for change in changes] == [change["Timestamp"] for change in whole["Data"]]
    assert {"busy", "afterCallWork"} <= {change["Status"] for change in changes}
    too_wide = window | {"StartTimestamp": NOW - 7 * DAY}
    assert await code_of(caller, "DescribeStaffStatusHistory", **too_wide, PageSize=2) == "InvalidParameterValue"


async def test_login_tokens_are_made_for_agents_only(api):
    _, caller = api
    mail = next(leg.mail for session in OF_APP for leg in session.calls[0].legs if leg.mail)

    token = await caller.ask("CreateSDKLoginToken", SdkAppId=APP, SeatUserId=mail)

    assert token["Token"]
    assert token["ExpiredTime"] > NOW
    assert token["SdkURL"].startswith("https://")
    nobody = await code_of(caller, "CreateSDKLoginToken", SdkAppId=APP, SeatUserId="nobody@example.com")
    assert nobody == "InvalidParameterValue.AccountNotExist"
