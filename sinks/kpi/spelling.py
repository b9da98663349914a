"""What of the numbers' SQL each warehouse spells in its own way: values inside JSON, and what a
lateral join is. All else is one text.

The rule: a value that is not there is NULL, and a number in JSON reads as its digits. Old editions of TCCC's CDR write
`key` and `label`.
"""

from collections.abc import Mapping
from typing import Final

_EXTRA: Final = "ifNull(s.extra, '')"


def _either(json: str, upper: str, lower: str) -> str:
    return f"COALESCE({json} ->> '{upper}', {json} ->> '{lower}', '')"


def _pressed(key: str, label: str) -> str:
    return f"{key} || CASE WHEN {label} = '' THEN '' ELSE ':' || {label} END"


def _read(json: str, *path: str) -> str:
    """A value of ClickHouse's text; an empty text where there is none."""
    where = ", ".join((json, *path))
    return f"if(JSONType({where}) = 'String', JSONExtractString({where}), JSONExtractRaw({where}))"


def _either_read(json: str, *path: str, names: tuple[str, str]) -> str:
    upper, lower = (_read(json, *path, f"'{name}'") for name in names)
    return f"if({upper} = '', {lower}, {upper})"


_KEY: Final = ("Key", "key")
_LABEL: Final = ("Label", "label")
_LAST_PRESSED: Final = "(s.extra -> 'PostIVRKeyPressed' -> -1)"
_ARRAY: Final = "CASE WHEN JSONB_TYPEOF(s.extra -> 'IVRKeyPressedEx') = 'array' THEN s.extra -> 'IVRKeyPressedEx' END"
_IN_DUCKDB: Final = _pressed(_either("pressed", *_KEY), _either("pressed", *_LABEL))
_IN_POSTGRES: Final = _pressed(_either("pressed.value", *_KEY), _either("pressed.value", *_LABEL))
_IN_CLICKHOUSE: Final = (
    f"concat({_either_read('pressed', names=_KEY)}, "
    f"if({_either_read('pressed', names=_LABEL)} = '', '', concat(':', {_either_read('pressed', names=_LABEL)})))"
)

_OF_SESSION: Final = {
    # Of each session that is left, so that a filter on sessions is one on legs too. ClickHouse knows no lateral join.
    "lateral": "LATERAL",
    "legs_of_session": "WHERE l.sdk_app_id = s.sdk_app_id AND l.session_id = s.session_id",
}


def _local_second(clock: str) -> str:
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM (o.{clock}_at AT TIME ZONE o.time_zone))) AS BIGINT)"


_LOOKED_UP: Final = {
    # What is known of the week, and of the caller's next call, is looked up by key in a hash table.
    "started_local_second": (
        f"CASE WHEN z.shift_week = o.week THEN o.started_second + z.shift ELSE {_local_second('started')} END"
    ),
    "queued_local_second": (
        "CASE WHEN z.shift_week = o.week AND o.queued_second - o.queued_second % 604800 = o.week * 604800 "
        f"THEN o.queued_second + z.shift ELSE {_local_second('queued')} END"
    ),
    "shifts_joined": "LEFT JOIN shifts AS z ON z.shift_zone = o.time_zone AND z.shift_week = o.week",
    # Not n.next_second alone: where there is none, ClickHouse may say 0.
    "next_second": "CASE WHEN n.contact_session_id = c.session_id THEN n.next_second END",
    "contacts_joined": (
        "LEFT JOIN next_contacts AS n ON n.contact_app_id = c.sdk_app_id AND n.contact_session_id = c.session_id"
    ),
}
_COMPUTED: Final = {
    # Postgres takes the calls that are left for a handful, and would go through the other side once for each of them:
    # so there is no other side, or one with an index.
    "started_local_second": _local_second("started"),
    "queued_local_second": _local_second("queued"),
    "shifts_joined": "",
    # Through an index on the caller's number, of the calls that are left: no window, which no filter would pass.
    "next_second": "n.next_second",
    "contacts_joined": """LEFT JOIN LATERAL (
        SELECT CAST(FLOOR(EXTRACT(EPOCH FROM a.started_at)) AS BIGINT) AS next_second
        FROM sessions AS a
        WHERE
            c.is_inbound
            AND a.sdk_app_id = c.sdk_app_id
            AND a.customer_number = c.customer_number
            AND a.started_at >= TO_TIMESTAMP(FLOOR(EXTRACT(EPOCH FROM c.started_at)))
            AND (FLOOR(EXTRACT(EPOCH FROM a.started_at)), a.session_id)
            > (FLOOR(EXTRACT(EPOCH FROM c.started_at)), c.session_id)
            AND a.has_cdr
            AND a.direction = 'inbound'
            AND COALESCE(a.call_type, '') <> 'internal'
        ORDER BY a.started_at
        LIMIT 1
    ) AS n ON TRUE""",
}

SPELLINGS: Final[Mapping[str, Mapping[str, str]]] = {
    "duckdb": {
        **_OF_SESSION,
        **_LOOKED_UP,
        "tccc_duration": "s.extra ->> 'Duration'",
        "satisfaction_key": f"NULLIF({_either(_LAST_PRESSED, *_KEY)}, '')",
        "ivr_path": (
            f"NULLIF(ARRAY_TO_STRING([{_IN_DUCKDB} "
            "FOR pressed IN JSON_EXTRACT(s.extra, '$.IVRKeyPressedEx[*]')], '>'), '')"
        ),
    },
    "postgres": {
        **_OF_SESSION,
        **_COMPUTED,
        "tccc_duration": "s.extra ->> 'Duration'",
        "satisfaction_key": f"NULLIF({_either(_LAST_PRESSED, *_KEY)}, '')",
        "ivr_path": (
            f"(SELECT NULLIF(STRING_AGG({_IN_POSTGRES}, '>' ORDER BY pressed.place), '') "  # noqa: S608 - our own
            f"FROM JSONB_ARRAY_ELEMENTS({_ARRAY}) WITH ORDINALITY AS pressed (value, place))"
        ),
    },
    "clickhouse": {
        **_LOOKED_UP,
        "lateral": "",
        "legs_of_session": "",
        "tccc_duration": "NULLIF(" + _read(_EXTRA, "'Duration'") + ", '')",
        "satisfaction_key": ("NULLIF(" + _either_read(_EXTRA, "'PostIVRKeyPressed'", "-1", names=_KEY) + ", '')"),
        "ivr_path": (
            f"NULLIF(arrayStringConcat(arrayMap(pressed -> {_IN_CLICKHOUSE}, "
            f"JSONExtractArrayRaw({_EXTRA}, 'IVRKeyPressedEx')), '>'), '')"
        ),
    },
}
