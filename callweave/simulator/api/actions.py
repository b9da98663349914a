"""The actions: which parameters each takes, which ranges hold, and what it answers. Pure over a World.

The codes for bad ranges are not documented; `InvalidParameterValue` stands for a value, `InvalidParameter` for a type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from callweave.simulator.api.access import Access
from callweave.simulator.api.directory import Directory
from callweave.simulator.api.errors import ApiError
from callweave.simulator.api.rows import fresh_address, protected_tel_cdr, session_detail
from callweave.simulator.api.world import Window, World

DAY_SECONDS: Final = 86_400
HISTORY_SECONDS: Final = 180 * DAY_SECONDS
WINDOW_SECONDS_BELOW: Final = 90 * DAY_SECONDS
STATUS_WINDOW_SECONDS_BELOW: Final = 7 * DAY_SECONDS
PAGE_SIZE_MAX: Final = 100
STAFF_PAGE_SIZE_MAX: Final = 9_999
TOKEN_SECONDS: Final = 7_200

Json = dict[str, Any]


@dataclass(slots=True)
class Desk:
    """What an action answers from."""

    world: World
    access: Access
    list_fields: tuple[str, ...] = ("TelCdrList",)
    _directories: dict[int, Directory] = field(default_factory=dict)

    def directory(self, sdk_app_id: int) -> Directory:
        """Give the people of an application."""
        if sdk_app_id not in self._directories:
            self._directories[sdk_app_id] = Directory.of(self.world.sessions_of(sdk_app_id))
        return self._directories[sdk_app_id]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an action."""

    kind: type
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its parameters, and its answer."""

    parameters: Mapping[str, Parameter]
    answer: Callable[[Desk, str, Json], Json]


def answer(desk: Desk, secret_id: str, name: str, parameters: Json) -> Json:
    """Answer one request of a secret; raise ApiError for every no."""
    action = action_named(name)
    _check_parameters(action, parameters)
    if "SdkAppId" in parameters:
        desk.access.check(secret_id, name, parameters["SdkAppId"], desk.world.sdk_app_ids)
    return action.answer(desk, secret_id, parameters)


def action_named(name: str) -> Action:
    """Give an action, or raise ApiError."""
    action = ACTIONS.get(name)
    if action is None:
        raise ApiError("InvalidAction", f"The action {name!r} is not supported in this version.")
    return action


def _check_parameters(action: Action, parameters: Json) -> None:
    for name, value in parameters.items():
        parameter = action.parameters.get(name)
        if parameter is None:
            raise ApiError("UnknownParameter", f"The parameter `{name}` is not recognized.")
        if not _is_of_kind(value, parameter.kind):
            raise ApiError("InvalidParameter", f"The parameter `{name}` is not of type {parameter.kind.__name__}.")
    for name, parameter in action.parameters.items():
        if parameter.is_required and name not in parameters:
            raise ApiError("MissingParameter", f"The request needs the parameter `{name}`.")


def _is_of_kind(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(item, str | int) for item in value)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def _wrong(sentence: str) -> ApiError:
    return ApiError("InvalidParameterValue", sentence)


def _check_times(desk: Desk, start: int, end: int, *, seconds_below: int = WINDOW_SECONDS_BELOW) -> None:
    if start < desk.world.clock.now() - HISTORY_SECONDS:
        raise _wrong("The start time is more than 180 days ago.")
    if end < start:
        raise _wrong("The end time is before the start time.")
    if end - start >= seconds_below:
        raise _wrong(f"The time range must be less than {seconds_below // DAY_SECONDS} days.")


def _check_paging(parameters: Json, *, size_max: int = PAGE_SIZE_MAX) -> tuple[int, int]:
    number, size = parameters["PageNumber"], parameters["PageSize"]
    if not 1 <= size <= size_max:
        raise _wrong(f"PageSize must be from 1 to {size_max}.")
    if number < 0:
        raise _wrong("PageNumber starts at 0.")
    return number, size


# Calls


def _describe_tel_cdr(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    total, rows = _tel_cdr_page(desk, parameters)
    return {"TotalCount": total} | dict.fromkeys(desk.list_fields, rows)


def _describe_protected_tel_cdr(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    total, rows = _tel_cdr_page(desk, parameters)
    return {"TotalCount": total} | {name: [protected_tel_cdr(row) for row in rows] for name in desk.list_fields}


def _tel_cdr_page(desk: Desk, parameters: Json) -> tuple[int, list[Json]]:
    _check_times(desk, parameters["StartTimeStamp"], parameters["EndTimeStamp"])
    number, size = _check_paging(parameters)
    window = Window(
        start=parameters["StartTimeStamp"],
        end=parameters["EndTimeStamp"],
        phones=frozenset(parameters.get("Phones", ())),
        session_ids=frozenset(parameters.get("SessionIds", ())),
    )
    page = desk.world.page(parameters["SdkAppId"], window, number=number, size=size)
    return page.total, [desk.world.row(session) for session in page.sessions]


def _describe_session_detail(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    _check_times(desk, parameters["StartTimestamp"], parameters["EndTimestamp"])
    session = desk.world.session(parameters["SdkAppId"], parameters["SessionId"])
    if session is None:
        raise ApiError("InvalidParameterValue.RecordNotExist", f"There is no session {parameters['SessionId']}.")
    return session_detail(session, desk.world.habits, now=desk.world.clock.now())


# People


def _describe_staff_info_list(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    number, size = _check_paging(parameters, size_max=STAFF_PAGE_SIZE_MAX)
    mail, group = parameters.get("StaffMail"), parameters.get("SkillGroupId")
    found = [
        member
        for member in desk.directory(parameters["SdkAppId"]).staff()
        if mail in {None, "", member["Mail"]}
        and (not group or group in {one["SkillGroupId"] for one in member["SkillGroupList"]})
        and member["LastModifyTimestamp"] >= parameters.get("ModifiedTime", 0)
    ]
    return {"TotalCount": len(found), "StaffList": found[number * size : (number + 1) * size]}


def _describe_skill_group_info_list(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    number, size = _check_paging(parameters)
    group_id, name = parameters.get("SkillGroupId"), parameters.get("SkillGroupName")
    found = [
        group
        for group in desk.directory(parameters["SdkAppId"]).skill_groups()
        if group_id in {None, 0, group["SkillGroupId"]}
        and (not name or name in group["SkillGroupName"])
        and group["LastModifyTimestamp"] >= parameters.get("ModifiedTime", 0)
    ]
    return {"TotalCount": len(found), "SkillGroupList": found[number * size : (number + 1) * size]}


def _describe_staff_status_history(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    """Answer a page of status changes after the cursor; an empty page is the end."""
    start, end, size = parameters["StartTimestamp"], parameters["EndTimestamp"], parameters["PageSize"]
    _check_times(desk, start, end, seconds_below=STATUS_WINDOW_SECONDS_BELOW)
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise _wrong(f"PageSize must be from 1 to {PAGE_SIZE_MAX}.")
    cursor = parameters.get("Cursor") or "0"
    if not cursor.isdecimal():
        raise _wrong("The Cursor is none that was given out.")
    directory = desk.directory(parameters["SdkAppId"])
    mail = parameters["StaffUserId"]
    if mail not in directory.seats:
        raise ApiError("InvalidParameterValue", f"There is no staff {mail}.")
    changes = [change for change in directory.changes_of.get(mail, []) if start <= change.at <= end]
    first = int(cursor)
    return {
        "Data": [
            {
                "Cursor": str(first + place + 1),
                "Timestamp": change.at,
                "Status": change.status,
                "SessionId": change.session_id,
                "Reason": "",
                "StaffEmail": mail,
                "StaffNo": directory.seats[mail].staff_number,
            }
            for place, change in enumerate(changes[first : first + size])
        ]
    }


def _create_sdk_login_token(desk: Desk, _secret_id: str, parameters: Json) -> Json:
    mail = parameters["SeatUserId"]
    if mail not in desk.directory(parameters["SdkAppId"]).seats:
        raise ApiError("InvalidParameterValue.AccountNotExist", f"There is no staff {mail}.")
    return {
        "Token": fresh_address("token", "").rpartition("/")[2],
        "ExpiredTime": int(desk.world.clock.now()) + TOKEN_SECONDS,
        "SdkURL": fresh_address("sdk", ".js"),
    }


# The account


def _describe_ccc_buy_info_list(desk: Desk, secret_id: str, parameters: Json) -> Json:
    asked = set(parameters.get("SdkAppIds", ()))
    owned = desk.access.apps_of(secret_id, desk.world.sdk_app_ids)
    bought = [
        {"SdkAppId": app, "Name": f"office {app}", "StaffBuyNum": len(desk.directory(app).seats), "StaffBuyList": [],
         "PhoneNumBuyList": [], "SipBuyNum": 0}
        for app in owned
        if not asked or app in asked
    ]  # fmt: skip
    return {"TotalCount": len(bought), "SdkAppIdBuyList": bought, "PackageBuyList": []}


_REQUIRED_INT = Parameter(int, is_required=True)
_REQUIRED_TEXT = Parameter(str, is_required=True)
_PAGING = {"SdkAppId": _REQUIRED_INT, "PageSize": _REQUIRED_INT, "PageNumber": _REQUIRED_INT}
_TEL_CDR = _PAGING | {"StartTimeStamp": _REQUIRED_INT, "EndTimeStamp": _REQUIRED_INT}
_TIMES = {"SdkAppId": _REQUIRED_INT, "StartTimestamp": _REQUIRED_INT, "EndTimestamp": _REQUIRED_INT}

ACTIONS: Final[Mapping[str, Action]] = {
    "DescribeTelCdr": Action(
        _TEL_CDR
        | {
            "Phones": Parameter(list),
            "SessionIds": Parameter(list),
            "InstanceId": Parameter(int),
            "Limit": Parameter(int),
            "Offset": Parameter(int),
        },
        _describe_tel_cdr,
    ),
    "DescribeProtectedTelCdr": Action(_TEL_CDR, _describe_protected_tel_cdr),
    "DescribeSessionDetail": Action(_TIMES | {"SessionId": _REQUIRED_TEXT}, _describe_session_detail),
    "DescribeStaffInfoList": Action(
        _PAGING | {"StaffMail": Parameter(str), "ModifiedTime": Parameter(int), "SkillGroupId": Parameter(int)},
        _describe_staff_info_list,
    ),
    "DescribeSkillGroupInfoList": Action(
        _PAGING | {"SkillGroupId": Parameter(int), "ModifiedTime": Parameter(int), "SkillGroupName": Parameter(str)},
        _describe_skill_group_info_list,
    ),
    "DescribeStaffStatusHistory": Action(
        _TIMES | {"StaffUserId": _REQUIRED_TEXT, "PageSize": _REQUIRED_INT, "Cursor": Parameter(str)},
        _describe_staff_status_history,
    ),
    "CreateSDKLoginToken": Action(
        {"SdkAppId": _REQUIRED_INT, "SeatUserId": _REQUIRED_TEXT, "OnlyOnce": Parameter(bool)},
        _create_sdk_login_token,
    ),
    "DescribeCCCBuyInfoList": Action({"SdkAppIds": Parameter(list)}, _describe_ccc_buy_info_list),
}
