"""What an error of TCCC's API means and what to do about it (protocol.md f.5): the one table of codes."""

from enum import StrEnum


class Remedy(StrEnum):
    """What helps."""

    WAIT = "wait"  # again, after a pause
    WAIT_ONCE = "wait once"
    SLOW_DOWN = "slow down"
    CLOCK = "clock"
    CREDENTIALS = "credentials"
    PERMISSION = "permission"
    APPLICATION = "application"
    REQUEST = "request"  # ours was wrong: a bug, or a range that the API does not allow


_REMEDIES: tuple[tuple[str, Remedy], ...] = (
    # The first prefix that fits decides; the finer ones come first.
    ("RequestLimitExceeded", Remedy.SLOW_DOWN),
    ("AuthFailure.SignatureExpire", Remedy.CLOCK),
    ("AuthFailure.UnauthorizedOperation", Remedy.PERMISSION),
    ("AuthFailure", Remedy.CREDENTIALS),
    ("UnauthorizedOperation", Remedy.PERMISSION),
    ("OperationDenied", Remedy.PERMISSION),
    ("InvalidParameterValue.InstanceNotExist", Remedy.APPLICATION),
    ("ResourceNotFound", Remedy.APPLICATION),
    ("ResourceUnavailable", Remedy.WAIT_ONCE),
    ("InvalidParameter", Remedy.REQUEST),
    ("MissingParameter", Remedy.REQUEST),
    ("UnknownParameter", Remedy.REQUEST),
    ("UnsupportedOperation", Remedy.REQUEST),
    ("NoSuchVersion", Remedy.REQUEST),
    ("InvalidAction", Remedy.REQUEST),
    ("LimitExceeded", Remedy.PERMISSION),  # a licence's quota, not a rate
)
CODE_LABELS = frozenset(
    {
        "ok",
        "RequestLimitExceeded",
        "AuthFailure",
        "UnauthorizedOperation",
        "OperationDenied",
        "InternalError",
        "ResourceUnavailable",
        "ResourceNotFound",
        "InvalidParameter",
        "InvalidParameterValue",
        "MissingParameter",
        "UnknownParameter",
        "UnsupportedOperation",
        "LimitExceeded",
        "FailedOperation",
        "ClientNetworkError",
        "ServerNetworkError",
        "UnreadableAnswer",
    }
)


class ApiError(Exception):
    """One answer that was none. `clock_ahead_seconds`: ours minus theirs, where an answer told their time."""

    def __init__(self, code: str, message: str, clock_ahead_seconds: float | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.clock_ahead_seconds = clock_ahead_seconds

    @property
    def remedy(self) -> Remedy:
        """What helps; anything that is not known may pass by itself."""
        return next((remedy for prefix, remedy in _REMEDIES if self.code.startswith(prefix)), Remedy.WAIT)

    def sentence(self, sdk_app_id: int, action: str = "DescribeTelCdr") -> str:
        """What happened, and what to do, for a person."""
        who = f"SdkAppId {sdk_app_id}"
        match self.remedy:
            case Remedy.CLOCK:
                return f"{who}: the API refuses this clock ({self.code}); {self._skew()}: set it right"
            case Remedy.CREDENTIALS:
                return (
                    f"{who}: the API refuses the key ({self.code}): it was revoked, disabled or mistyped; "
                    "set CALLWEAVE_API__SECRET_ID and CALLWEAVE_API__SECRET_KEY to one that is active"
                )
            case Remedy.PERMISSION:
                return (
                    f"{who}: the key may not read it ({self.code}): allow ccc:{action} for this application "
                    "in Tencent Cloud's access management (CAM)"
                )
            case Remedy.APPLICATION:
                return f"{who}: the API does not know it ({self.code}): correct CALLWEAVE_API__SDK_APP_IDS"
            case Remedy.REQUEST:
                return f"{who}: the API does not take the request ({self.code}: {self.message})"
            case Remedy.SLOW_DOWN:
                return f"{who}: the API is asked too often ({self.code}): is something else using the same key?"
            case Remedy.WAIT | Remedy.WAIT_ONCE:
                return f"{who}: the API does not answer ({self.code}: {self.message}); it is asked again by itself"

    def _skew(self) -> str:
        if self.clock_ahead_seconds is None:
            return "it differs by more than five minutes"
        side = "ahead of" if self.clock_ahead_seconds > 0 else "behind"
        return f"it is {abs(self.clock_ahead_seconds):.0f} s {side} the API's"


def code_label(code: str) -> str:
    """The family of a code, from a closed set."""
    family = code.partition(".")[0]
    return family if family in CODE_LABELS else "other"
