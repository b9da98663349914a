{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- How many calls and waiting callers at a time, by quarter of an hour.
-- How many calls at a time, by quarter of an hour: calls between answer and end, callers between queued and answer or end.
-- The moment of an end counts no more. What lasts longer than a day counts for its first day: TCCC ends no call so late.
WITH digits AS (
    SELECT 0 AS n
    UNION ALL SELECT 1
    UNION ALL SELECT 2
    UNION ALL SELECT 3
    UNION ALL SELECT 4
    UNION ALL SELECT 5
    UNION ALL SELECT 6
    UNION ALL SELECT 7
    UNION ALL SELECT 8
    UNION ALL SELECT 9
),

numbers AS (
    SELECT ones.n + 10 * tens.n AS n
    FROM digits AS ones
    CROSS JOIN digits AS tens
    WHERE ones.n + 10 * tens.n < 96
),

-- For each number of quarters that something reaches beyond its first one: each of them.
reaches AS (
    SELECT
        CAST(longest.n AS Nullable(Int64)) AS reach,
        CAST(one.n AS Nullable(Int64)) AS n
    FROM numbers AS longest
    CROSS JOIN numbers AS one
    WHERE one.n <= longest.n
),

kinds AS (
    SELECT 'talking' AS kind
    UNION ALL SELECT 'waiting'
),

stretches AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.loaded_at AS loaded_at,
        s.is_provisional AS is_provisional,
        k.kind AS kind,
        CASE WHEN k.kind = 'talking' THEN s.first_answered_at ELSE s.queued_at END AS began_at,
        CASE WHEN k.kind = 'talking' THEN s.ended_at ELSE COALESCE(s.first_answered_at, s.ended_at) END AS ended_at
    FROM {{ ref('kpi_calls') }} AS s
    CROSS JOIN kinds AS k
    WHERE
        (k.kind = 'talking' AND s.is_connected AND (s.is_inbound OR s.is_outbound OR s.is_predictive))
        OR (k.kind = 'waiting' AND s.is_queued)
),

seconds AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        h.time_zone AS time_zone,
        h.loaded_at AS loaded_at,
        h.is_provisional AS is_provisional,
        h.kind AS kind,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), h.began_at)) AS Nullable(Int64)) AS began,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), h.ended_at)) AS Nullable(Int64)) AS ended
    FROM stretches AS h
),

reaching AS (
    SELECT
        t.sdk_app_id AS sdk_app_id,
        t.time_zone AS time_zone,
        t.loaded_at AS loaded_at,
        t.is_provisional AS is_provisional,
        t.kind AS kind,
        t.began AS began,
        t.ended AS ended,
        t.began - t.began % 900 AS first_quarter,
        CAST(LEAST((t.ended - 1 - (t.ended - 1) % 900 - (t.began - t.began % 900)) / 900, 95) AS Nullable(Int64)) AS reach
    FROM seconds AS t
    WHERE t.ended > t.began
),

clipped AS (
    SELECT
        r.sdk_app_id AS sdk_app_id,
        r.time_zone AS time_zone,
        r.loaded_at AS loaded_at,
        r.is_provisional AS is_provisional,
        r.kind AS kind,
        r.first_quarter + 900 * q.n AS quarter,
        GREATEST(r.began, r.first_quarter + 900 * q.n) AS began,
        LEAST(r.ended, r.first_quarter + 900 * q.n + 900) AS ended
    FROM reaching AS r
    INNER JOIN reaches AS q ON q.reach = r.reach
),

steps AS (
    SELECT
        sdk_app_id,
        kind,
        quarter,
        began AS at_second,
        1 AS step
    FROM clipped
    UNION ALL
    SELECT
        sdk_app_id,
        kind,
        quarter,
        ended,
        -1
    FROM clipped
),

levels AS (
    SELECT
        p.sdk_app_id AS sdk_app_id,
        p.kind AS kind,
        p.quarter AS quarter,
        -- An end and a beginning in the same second do not meet.
        SUM(p.step) OVER (
            PARTITION BY p.sdk_app_id, p.kind, p.quarter ORDER BY p.at_second, p.step
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS running
    FROM steps AS p
),

peaks AS (
    SELECT
        v.sdk_app_id AS sdk_app_id,
        v.quarter AS quarter,
        CAST(MAX(CASE WHEN v.kind = 'talking' THEN v.running ELSE 0 END) AS Nullable(Int64)) AS talking_peak,
        CAST(MAX(CASE WHEN v.kind = 'waiting' THEN v.running ELSE 0 END) AS Nullable(Int64)) AS waiting_peak
    FROM levels AS v
    GROUP BY v.sdk_app_id, v.quarter
),

sums AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.time_zone AS time_zone,
        c.quarter AS quarter,
        toDateTime64(c.quarter, 6, 'UTC') AS quarter_hour,
        CAST(SUM(CASE WHEN c.kind = 'talking' THEN c.ended - c.began ELSE 0 END) AS Nullable(Int64)) AS talking_seconds_sum,
        CAST(SUM(CASE WHEN c.kind = 'waiting' THEN c.ended - c.began ELSE 0 END) AS Nullable(Int64)) AS waiting_seconds_sum,
        CAST(COUNT(*) AS Nullable(Int64)) AS stretch_count,
        CAST(SUM(CASE WHEN c.is_provisional THEN 1 ELSE 0 END) AS Nullable(Int64)) AS stretch_provisional_count,
        MAX(c.loaded_at) AS as_of
    FROM clipped AS c
    GROUP BY c.sdk_app_id, c.time_zone, c.quarter
),

quarters AS (
    SELECT
        w.sdk_app_id AS sdk_app_id,
        w.time_zone AS time_zone,
        w.quarter AS quarter,
        w.quarter_hour AS quarter_hour,
        w.talking_seconds_sum AS talking_seconds_sum,
        w.waiting_seconds_sum AS waiting_seconds_sum,
        w.stretch_count AS stretch_count,
        w.stretch_provisional_count AS stretch_provisional_count,
        x.talking_peak AS talking_peak,
        x.waiting_peak AS waiting_peak,
        w.as_of AS as_of
    FROM sums AS w
    INNER JOIN peaks AS x ON x.sdk_app_id = w.sdk_app_id AND x.quarter = w.quarter
),

known AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing AS here,
        c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected AS due,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled
    FROM {{ source('callweave', 'completeness') }} AS c
    WHERE c.asked_at IS NOT NULL
),

placed_quarters AS (
    SELECT
        u.*,
        toDateTime64(u.quarter - u.quarter % 3600, 6, 'UTC') AS known_hour
    FROM quarters AS u
),

beside AS (
    SELECT
        u.sdk_app_id AS sdk_app_id,
        u.time_zone AS time_zone,
        u.quarter_hour AS quarter_hour,
        u.as_of AS as_of,
        u.talking_peak AS talking_peak,
        u.waiting_peak AS waiting_peak,
        u.talking_seconds_sum AS talking_seconds_sum,
        u.waiting_seconds_sum AS waiting_seconds_sum,
        u.stretch_count AS stretch_count,
        u.stretch_provisional_count AS stretch_provisional_count,
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM placed_quarters AS u
    LEFT JOIN known AS w ON w.sdk_app_id = u.sdk_app_id AND w.hour = u.known_hour
)

SELECT
    n.sdk_app_id AS sdk_app_id,
    n.time_zone AS time_zone,
    n.quarter_hour AS quarter_hour,
    CAST(toDateTime64(toString(n.quarter_hour, n.time_zone), 6, 'UTC') AS Nullable(Date32)) AS day,
    n.talking_peak AS talking_peak,
    n.waiting_peak AS waiting_peak,
    n.talking_seconds_sum AS talking_seconds_sum,
    n.waiting_seconds_sum AS waiting_seconds_sum,
    n.stretch_count AS stretch_count,
    n.stretch_provisional_count AS stretch_provisional_count,
    CAST(n.stretch_provisional_count AS Nullable(Float64)) / NULLIF(n.stretch_count, 0) AS stretch_provisional_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- How many calls and waiting callers at a time, by quarter of an hour.
-- How many calls at a time, by quarter of an hour: calls between answer and end, callers between queued and answer or end.
-- The moment of an end counts no more. What lasts longer than a day counts for its first day: TCCC ends no call so late.
WITH digits AS (
    SELECT 0 AS n
    UNION ALL SELECT 1
    UNION ALL SELECT 2
    UNION ALL SELECT 3
    UNION ALL SELECT 4
    UNION ALL SELECT 5
    UNION ALL SELECT 6
    UNION ALL SELECT 7
    UNION ALL SELECT 8
    UNION ALL SELECT 9
),

numbers AS (
    SELECT ones.n + 10 * tens.n AS n
    FROM digits AS ones
    CROSS JOIN digits AS tens
    WHERE ones.n + 10 * tens.n < 96
),

-- For each number of quarters that something reaches beyond its first one: each of them.
reaches AS (
    SELECT
        CAST(longest.n AS BIGINT) AS reach,
        CAST(one.n AS BIGINT) AS n
    FROM numbers AS longest
    CROSS JOIN numbers AS one
    WHERE one.n <= longest.n
),

kinds AS (
    SELECT 'talking' AS kind
    UNION ALL SELECT 'waiting'
),

stretches AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.loaded_at AS loaded_at,
        s.is_provisional AS is_provisional,
        k.kind AS kind,
        CASE WHEN k.kind = 'talking' THEN s.first_answered_at ELSE s.queued_at END AS began_at,
        CASE WHEN k.kind = 'talking' THEN s.ended_at ELSE COALESCE(s.first_answered_at, s.ended_at) END AS ended_at
    FROM {{ ref('kpi_calls') }} AS s
    CROSS JOIN kinds AS k
    WHERE
        (k.kind = 'talking' AND s.is_connected AND (s.is_inbound OR s.is_outbound OR s.is_predictive))
        OR (k.kind = 'waiting' AND s.is_queued)
),

seconds AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        h.time_zone AS time_zone,
        h.loaded_at AS loaded_at,
        h.is_provisional AS is_provisional,
        h.kind AS kind,
        CAST(FLOOR(EXTRACT(EPOCH FROM h.began_at)) AS BIGINT) AS began,
        CAST(FLOOR(EXTRACT(EPOCH FROM h.ended_at)) AS BIGINT) AS ended
    FROM stretches AS h
),

reaching AS (
    SELECT
        t.sdk_app_id AS sdk_app_id,
        t.time_zone AS time_zone,
        t.loaded_at AS loaded_at,
        t.is_provisional AS is_provisional,
        t.kind AS kind,
        t.began AS began,
        t.ended AS ended,
        t.began - t.began % 900 AS first_quarter,
        CAST(LEAST((t.ended - 1 - (t.ended - 1) % 900 - (t.began - t.began % 900)) / 900, 95) AS BIGINT) AS reach
    FROM seconds AS t
    WHERE t.ended > t.began
),

clipped AS (
    SELECT
        r.sdk_app_id AS sdk_app_id,
        r.time_zone AS time_zone,
        r.loaded_at AS loaded_at,
        r.is_provisional AS is_provisional,
        r.kind AS kind,
        r.first_quarter + 900 * q.n AS quarter,
        GREATEST(r.began, r.first_quarter + 900 * q.n) AS began,
        LEAST(r.ended, r.first_quarter + 900 * q.n + 900) AS ended
    FROM reaching AS r
    INNER JOIN reaches AS q ON q.reach = r.reach
),

steps AS (
    SELECT
        sdk_app_id,
        kind,
        quarter,
        began AS at_second,
        1 AS step
    FROM clipped
    UNION ALL
    SELECT
        sdk_app_id,
        kind,
        quarter,
        ended,
        -1
    FROM clipped
),

levels AS (
    SELECT
        p.sdk_app_id AS sdk_app_id,
        p.kind AS kind,
        p.quarter AS quarter,
        -- An end and a beginning in the same second do not meet.
        SUM(p.step) OVER (
            PARTITION BY p.sdk_app_id, p.kind, p.quarter ORDER BY p.at_second, p.step
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS running
    FROM steps AS p
),

peaks AS (
    SELECT
        v.sdk_app_id AS sdk_app_id,
        v.quarter AS quarter,
        CAST(MAX(CASE WHEN v.kind = 'talking' THEN v.running ELSE 0 END) AS BIGINT) AS talking_peak,
        CAST(MAX(CASE WHEN v.kind = 'waiting' THEN v.running ELSE 0 END) AS BIGINT) AS waiting_peak
    FROM levels AS v
    GROUP BY v.sdk_app_id, v.quarter
),

sums AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.time_zone AS time_zone,
        c.quarter AS quarter,
        TO_TIMESTAMP(c.quarter) AS quarter_hour,
        CAST(SUM(CASE WHEN c.kind = 'talking' THEN c.ended - c.began ELSE 0 END) AS BIGINT) AS talking_seconds_sum,
        CAST(SUM(CASE WHEN c.kind = 'waiting' THEN c.ended - c.began ELSE 0 END) AS BIGINT) AS waiting_seconds_sum,
        CAST(COUNT(*) AS BIGINT) AS stretch_count,
        CAST(SUM(CASE WHEN c.is_provisional THEN 1 ELSE 0 END) AS BIGINT) AS stretch_provisional_count,
        MAX(c.loaded_at) AS as_of
    FROM clipped AS c
    GROUP BY c.sdk_app_id, c.time_zone, c.quarter
),

quarters AS (
    SELECT
        w.sdk_app_id AS sdk_app_id,
        w.time_zone AS time_zone,
        w.quarter AS quarter,
        w.quarter_hour AS quarter_hour,
        w.talking_seconds_sum AS talking_seconds_sum,
        w.waiting_seconds_sum AS waiting_seconds_sum,
        w.stretch_count AS stretch_count,
        w.stretch_provisional_count AS stretch_provisional_count,
        x.talking_peak AS talking_peak,
        x.waiting_peak AS waiting_peak,
        w.as_of AS as_of
    FROM sums AS w
    INNER JOIN peaks AS x ON x.sdk_app_id = w.sdk_app_id AND x.quarter = w.quarter
),

known AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing AS here,
        c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected AS due,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled
    FROM {{ source('callweave', 'completeness') }} AS c
    WHERE c.asked_at IS NOT NULL
),

placed_quarters AS (
    SELECT
        u.*,
        TO_TIMESTAMP(u.quarter - u.quarter % 3600) AS known_hour
    FROM quarters AS u
),

beside AS (
    SELECT
        u.sdk_app_id AS sdk_app_id,
        u.time_zone AS time_zone,
        u.quarter_hour AS quarter_hour,
        u.as_of AS as_of,
        u.talking_peak AS talking_peak,
        u.waiting_peak AS waiting_peak,
        u.talking_seconds_sum AS talking_seconds_sum,
        u.waiting_seconds_sum AS waiting_seconds_sum,
        u.stretch_count AS stretch_count,
        u.stretch_provisional_count AS stretch_provisional_count,
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM placed_quarters AS u
    LEFT JOIN known AS w ON w.sdk_app_id = u.sdk_app_id AND w.hour = u.known_hour
)

SELECT
    n.sdk_app_id AS sdk_app_id,
    n.time_zone AS time_zone,
    n.quarter_hour AS quarter_hour,
    CAST((n.quarter_hour AT TIME ZONE n.time_zone) AS DATE) AS day,
    n.talking_peak AS talking_peak,
    n.waiting_peak AS waiting_peak,
    n.talking_seconds_sum AS talking_seconds_sum,
    n.waiting_seconds_sum AS waiting_seconds_sum,
    n.stretch_count AS stretch_count,
    n.stretch_provisional_count AS stretch_provisional_count,
    CAST(n.stretch_provisional_count AS DOUBLE PRECISION) / NULLIF(n.stretch_count, 0) AS stretch_provisional_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
