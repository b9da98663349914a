"""The version of a session: it only grows (architecture.md law 5, ADR 0005).

Bit 62: has a CDR; 42 bits: the last receipt in milliseconds; 20 bits, saturating: the number of receipts of its
reports (each report's, up to the bound that the state keeps). Fits a signed 64-bit integer; in JSON it is a string.
"""

_RECEIPT_BITS = 42
_COUNT_BITS = 20
_RECEIPT_MAX = (1 << _RECEIPT_BITS) - 1
_COUNT_MAX = (1 << _COUNT_BITS) - 1


def session_version(*, has_cdr: bool, last_received_ms: int, receipt_count: int) -> int:
    """Compose a version; the last receipt and the count saturate at their bits."""
    assert last_received_ms >= 0
    assert receipt_count > 0
    receipt = min(last_received_ms, _RECEIPT_MAX)
    count = min(receipt_count, _COUNT_MAX)
    return (int(has_cdr) << (_RECEIPT_BITS + _COUNT_BITS)) | (receipt << _COUNT_BITS) | count
