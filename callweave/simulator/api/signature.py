"""Verifies TC3-HMAC-SHA256, the signature of every request of Tencent's API. Pure: the clock and the keys are told.

It is written from the vendor's recipe and shares no code with the SDK, which is what it checks.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from callweave.simulator.api.errors import ApiError

ALGORITHM = "TC3-HMAC-SHA256"
SERVICE = "ccc"
TOLERANCE_SECONDS = 300

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} Credential=(?P<id>[^/,\s]+)/(?P<date>\d{{4}}-\d\d-\d\d)/(?P<service>[^/]+)/tc3_request,\s*"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What of a request is signed. `headers`: names in lower case, values as received."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def verified_secret_id(request: SignedRequest, key_of: Callable[[str], str | None], *, now: float) -> str:
    """Give the SecretId that signed the request, or raise ApiError with the code that TCCC would give."""
    given = _AUTHORIZATION.fullmatch(request.headers.get("authorization", "").strip())
    if given is None:
        raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization header is not in the form of TC3.")
    timestamp = request.headers.get("x-tc-timestamp", "")
    if not re.fullmatch(r"\d{1,12}", timestamp):
        raise ApiError("MissingParameter", "The request needs the header X-TC-Timestamp, in UNIX seconds.")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise ApiError(
            "AuthFailure.SignatureExpire",
            f"The signature has expired: the timestamp differs from the server's by more than {TOLERANCE_SECONDS} s.",
        )
    secret_key = key_of(given["id"])
    if secret_key is None:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found: it may be deleted or disabled.")
    date = datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d")
    signed_names = given["headers"].split(";")
    if not {"content-type", "host"} <= set(signed_names) or (given["date"], given["service"]) != (date, SERVICE):
        raise _failure()
    expected = _signature(request, signed_names, secret_key, timestamp=timestamp, date=date)
    if not hmac.compare_digest(expected, given["signature"]):
        raise _failure()
    return given["id"]


def _failure() -> ApiError:
    return ApiError("AuthFailure.SignatureFailure", "The provided credentials could not be validated.")


def _signature(request: SignedRequest, signed_names: list[str], secret_key: str, *, timestamp: str, date: str) -> str:
    payload = _UNSIGNED.encode() if request.headers.get("x-tc-content-sha256") == _UNSIGNED else request.body
    headers = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in signed_names)
    canonical = "\n".join(
        [
            request.method,
            request.path,
            request.query,
            headers,
            ";".join(signed_names),
            hashlib.sha256(payload).hexdigest(),
        ]
    )
    to_sign = "\n".join(
        [ALGORITHM, timestamp, f"{date}/{SERVICE}/tc3_request", hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"TC3{secret_key}".encode()
    for part in (date, SERVICE, "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
