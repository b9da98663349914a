"""The named faults of the simulator, and the dice that decide where each strikes.

Each fault has a stream of its own: turning one on moves no other.
"""

import math
import random
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from callweave.simulator.chance import chance

FAULTS: Mapping[str, str] = MappingProxyType(
    {
        # What happens to pushes on their way.
        "retry": "an answered push is delivered again, up to three times, under the same X-TCCC-PUSH-UUID",
        "repush": "the same content is pushed again under a new X-TCCC-PUSH-UUID, its members in another order",
        "shuffle": "share of the pushes that are moved anywhere in the order; 1 is a full shuffle",
        "record_first": "recordings and voicemails of a session are pushed before its CDR",
        "withhold": "a recording is never pushed",
        "withhold_cdr": "the CDRs of a session are never pushed",
        "withhold_voicemail": "a voicemail is never pushed",
        "unpushed": "a session is never pushed at all: only the API knows of it",
        "missing_header": "a push has no X-TCCC-PUSH-UUID",
        "no_action": "a push has no action in its query",
        "voicemail_version": "a voicemail push has version=1 in its query, as the other actions have",
        # What a push says, or how it says it.
        "correction": "a session gets a second, later CDR push that differs in something",
        "call_type_missing": "a CDR has no CallType",
        "unknown_fields": "a push has fields that no documentation knows",
        "unknown_end_status": "a CDR has an EndStatusString that no documentation knows",
        "lower_case_keys": "key and label of key presses are written in lower case",
        "never_recorded": "a recording that a CDR names was never made: no push, and no address from the API",
        "epoch_record_id": "the RecordIds of a session are seconds as text, and two tracks may share one",
        "empty_record_id": "one RecordId of a session is empty, in the CDR or in the recording's push",
        "endpoint_number": "EndpointUser of a customer is a number in a recording's push, and text in a voicemail's",
        "odd_case_type": "leg types are written in another case",
        "http_url": "addresses of recordings are plain http",
        "custom_url": "recordings have a CustomRecordURL too",
        "leg_ends_early": "the last leg ends before its session",
        "bad_field": "a field of a CDR holds what its column cannot: NULL, kept in extra, and a dead letter",
        "control_text": "a remark holds NUL and half a surrogate pair",
        "null_arrays": "empty arrays and objects are written the other way: [] for null, null for [], or left out",
        "duplicate_key": "Duration stands in the CDR twice, and the last one counts",
        "numbers_as_text": "documented numbers are sent as text",
        "milliseconds": "timestamps are in milliseconds",
        "gzip": "the body is compressed (Content-Encoding: gzip)",
        "bom": "the body starts with a byte order mark",
        # What should not have been pushed here.
        "useless": "for each push, one more that nothing can be made of: a dead letter",
        "im_actions": "for each session, one more push of action imcdr or videoCdr: a dead letter",
    }
)


class FaultError(ValueError):
    """A fault was asked for that does not exist, or with a rate that is none."""


def parse_faults(texts: Iterable[str], catalogue: Mapping[str, str] = FAULTS) -> dict[str, float]:
    """Read NAME=RATE texts; hyphens and underscores are the same. Raise FaultError with one sentence."""
    rates: dict[str, float] = {}
    for text in texts:
        name, separator, rate_text = text.partition("=")
        if not separator:
            raise FaultError(f"{text!r} is not NAME=RATE: write for example retry=0.2.")
        try:
            rate = float(rate_text)
        except ValueError:
            raise FaultError(f"The rate of fault {name!r} is {rate_text!r}: write a number from 0 to 1.") from None
        rates[name] = rate
    return check_faults(rates, catalogue)


def check_faults(rates: Mapping[str, float], catalogue: Mapping[str, str] = FAULTS) -> dict[str, float]:
    """Give the rates under their proper names. Raise FaultError with one sentence."""
    checked: dict[str, float] = {}
    for given_name, rate in rates.items():
        name = given_name.strip().replace("-", "_")
        if name not in catalogue:
            raise FaultError(f"There is no fault {given_name!r}: use one of {', '.join(sorted(catalogue))}.")
        if not math.isfinite(rate) or not 0 <= rate <= 1:
            raise FaultError(f"The rate of fault {given_name!r} is {rate}: write a number from 0 to 1.")
        checked[name] = rate
    return checked


class Dice:
    """Decides for each fault where it strikes."""

    def __init__(self, seed: int, rates: Mapping[str, float], catalogue: Mapping[str, str] = FAULTS) -> None:
        self._rates = check_faults(rates, catalogue)
        self._streams = {name: chance(seed, "fault", name) for name in catalogue}

    def strikes(self, fault: str) -> bool:
        """Throw once: does the fault strike here?"""
        return self._streams[fault].random() < self._rates.get(fault, 0.0)

    def stream(self, fault: str) -> random.Random:
        """Give the fault's own chance, to decide how it strikes."""
        return self._streams[fault]
