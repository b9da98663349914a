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

stretches AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.loaded_at AS loaded_at,
        'talking' AS kind,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.first_answered_at)) AS Nullable(Int64)) AS began,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.ended_at)) AS Nullable(Int64)) AS ended
    FROM {{ ref('kpi_sessions') }} AS s
    WHERE s.is_connected AND (s.is_inbound OR s.is_outbound OR s.is_predictive)
    UNION ALL
    SELECT
        s.sdk_app_id,
        s.time_zone,
        s.loaded_at,
        'waiting',
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.queued_at)) AS Nullable(Int64)),
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), COALESCE(s.first_answered_at, s.ended_at))) AS Nullable(Int64))
    FROM {{ ref('kpi_sessions') }} AS s
    WHERE s.is_queued
),

reaching AS (
    SELECT
        t.sdk_app_id AS sdk_app_id,
        t.time_zone AS time_zone,
        t.loaded_at AS loaded_at,
        t.kind AS kind,
        t.began AS began,
        t.ended AS ended,
        t.began - t.began % 900 AS first_quarter,
        CAST(LEAST((t.ended - 1 - (t.ended - 1) % 900 - (t.began - t.began % 900)) / 900, 95) AS Nullable(Int64)) AS reach
    FROM stretches AS t
    WHERE t.ended > t.began
),

clipped AS (
    SELECT
        r.sdk_app_id AS sdk_app_id,
        r.time_zone AS time_zone,
        r.loaded_at AS loaded_at,
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
        MAX(c.loaded_at) AS as_of
    FROM clipped AS c
    GROUP BY c.sdk_app_id, c.time_zone, c.quarter
),

quarters AS (
    SELECT
        w.sdk_app_id AS sdk_app_id,
        w.time_zone AS time_zone,
        w.quarter_hour AS quarter_hour,
        w.talking_seconds_sum AS talking_seconds_sum,
        w.waiting_seconds_sum AS waiting_seconds_sum,
        x.talking_peak AS talking_peak,
        x.waiting_peak AS waiting_peak,
        w.as_of AS as_of
    FROM sums AS w
    INNER JOIN peaks AS x ON x.sdk_app_id = w.sdk_app_id AND x.quarter = w.quarter
)

SELECT
    u.sdk_app_id AS sdk_app_id,
    u.time_zone AS time_zone,
    u.quarter_hour AS quarter_hour,
    CAST(toDateTime64(toString(u.quarter_hour, u.time_zone), 6, 'UTC') AS Nullable(Date32)) AS day,
    u.talking_peak AS talking_peak,
    u.waiting_peak AS waiting_peak,
    u.talking_seconds_sum AS talking_seconds_sum,
    u.waiting_seconds_sum AS waiting_seconds_sum,
    u.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM quarters AS u
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

stretches AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.loaded_at AS loaded_at,
        'talking' AS kind,
        CAST(FLOOR(EXTRACT(EPOCH FROM s.first_answered_at)) AS BIGINT) AS began,
        CAST(FLOOR(EXTRACT(EPOCH FROM s.ended_at)) AS BIGINT) AS ended
    FROM {{ ref('kpi_sessions') }} AS s
    WHERE s.is_connected AND (s.is_inbound OR s.is_outbound OR s.is_predictive)
    UNION ALL
    SELECT
        s.sdk_app_id,
        s.time_zone,
        s.loaded_at,
        'waiting',
        CAST(FLOOR(EXTRACT(EPOCH FROM s.queued_at)) AS BIGINT),
        CAST(FLOOR(EXTRACT(EPOCH FROM COALESCE(s.first_answered_at, s.ended_at))) AS BIGINT)
    FROM {{ ref('kpi_sessions') }} AS s
    WHERE s.is_queued
),

reaching AS (
    SELECT
        t.sdk_app_id AS sdk_app_id,
        t.time_zone AS time_zone,
        t.loaded_at AS loaded_at,
        t.kind AS kind,
        t.began AS began,
        t.ended AS ended,
        t.began - t.began % 900 AS first_quarter,
        CAST(LEAST((t.ended - 1 - (t.ended - 1) % 900 - (t.began - t.began % 900)) / 900, 95) AS BIGINT) AS reach
    FROM stretches AS t
    WHERE t.ended > t.began
),

clipped AS (
    SELECT
        r.sdk_app_id AS sdk_app_id,
        r.time_zone AS time_zone,
        r.loaded_at AS loaded_at,
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
        MAX(c.loaded_at) AS as_of
    FROM clipped AS c
    GROUP BY c.sdk_app_id, c.time_zone, c.quarter
),

quarters AS (
    SELECT
        w.sdk_app_id AS sdk_app_id,
        w.time_zone AS time_zone,
        w.quarter_hour AS quarter_hour,
        w.talking_seconds_sum AS talking_seconds_sum,
        w.waiting_seconds_sum AS waiting_seconds_sum,
        x.talking_peak AS talking_peak,
        x.waiting_peak AS waiting_peak,
        w.as_of AS as_of
    FROM sums AS w
    INNER JOIN peaks AS x ON x.sdk_app_id = w.sdk_app_id AND x.quarter = w.quarter
)

SELECT
    u.sdk_app_id AS sdk_app_id,
    u.time_zone AS time_zone,
    u.quarter_hour AS quarter_hour,
    CAST((u.quarter_hour AT TIME ZONE u.time_zone) AS DATE) AS day,
    u.talking_peak AS talking_peak,
    u.waiting_peak AS waiting_peak,
    u.talking_seconds_sum AS talking_seconds_sum,
    u.waiting_seconds_sum AS waiting_seconds_sum,
    u.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM quarters AS u
{%- endif %}
