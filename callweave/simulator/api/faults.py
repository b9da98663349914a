"""The named faults of the API simulator. Those of a request strike by a throw, those of a session by name."""

from collections.abc import Mapping
from types import MappingProxyType

API_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        # What happens to a request.
        "request_limit": "RequestLimitExceeded, although the limit is not reached",
        "internal_error": "InternalError, or InternalError.DBError",
        "http_500": "HTTP 500 with a text",
        "http_503": "HTTP 503 with a proper error that no client reads",
        "malformed_json": "HTTP 200 with half a JSON document",
        "not_json": "HTTP 200 with a page of HTML",
        "cut": "the connection is cut before the answer",
        "cut_midway": "the connection is cut in the middle of the answer",
        "slow": "the answer takes as long as --slow-seconds says",
        "signature_expired": "AuthFailure.SignatureExpire, although the clocks agree",
        "charset": "Content-Type: application/json; charset=utf-8, in which the SDK overlooks errors",
        "error_without_request_id": "an InternalError without RequestId, which the SDK reports as KeyError",
        # What a session's row says, and when. "Later" is --later-seconds after the call ended, by the server's clock.
        "late_row": "a session is visible only later",
        "appears_while_paging": "a session is left out of the first page of a window of several, and is in later ones",
        "moves_while_paging": "a session stands last for the first page of several, and in its place for later ones",
        "changes_while_paging": "a row has no Remark and no HungUpSide when it is told for the first time",
        "record_url_later": "RecordURL is empty at first",
        "custom_record_url_later": "CustomRecordURL is empty at first",
        "remark_later": "Remark is empty at first",
        "asr": "a session has a transcript: AsrStatus is Processing, later Complete with AsrUrl",
        "stale": "a session that was corrected is told as it was before, until later",
        "unknown_fields": "a row has fields that no documentation knows",
    }
)

REQUEST_FAULTS = (
    "request_limit",
    "internal_error",
    "http_500",
    "http_503",
    "malformed_json",
    "not_json",
    "cut",
    "cut_midway",
    "signature_expired",
    "error_without_request_id",
)
"""At most one of these strikes a request; `slow` and `charset` may come on top."""
