{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- Voicemails and how late they come, by day.
-- The clock is the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
-- Each voicemail with its call: what kpi_daily_voicemail adds up.
WITH rows_counted AS (
    SELECT
        v.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.day AS day,
        s.day IS NOT NULL AS is_voicemail,
        CASE
            WHEN v.received_at IS NOT NULL AND COALESCE(v.source, '') <> 'api'
                THEN CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), v.received_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.ended_at)) AS Nullable(Int64))
        END AS delay_seconds,
        s.is_provisional AS is_provisional,
        s.loaded_at AS loaded_at
    FROM {{ source('callweave', 'voicemails') }} AS v
    INNER JOIN {{ ref('kpi_calls') }} AS s ON s.sdk_app_id = v.sdk_app_id AND s.session_id = v.session_id
    WHERE s.day IS NOT NULL
),

numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        CAST(COUNT(*) FILTER (WHERE k.is_voicemail) AS Nullable(Int64)) AS message_count,
        CAST(quantileExactInclusive(0.5)(k.delay_seconds) AS Nullable(Float64)) AS voicemail_delay_p50_seconds,
        CAST(quantileExactInclusive(0.9)(k.delay_seconds) AS Nullable(Float64)) AS voicemail_delay_p90_seconds,
        CAST(quantileExactInclusive(0.95)(k.delay_seconds) AS Nullable(Float64)) AS voicemail_delay_p95_seconds,
        CAST(MAX(k.delay_seconds) AS Nullable(Int64)) AS voicemail_delay_max_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_voicemail AND k.is_provisional) AS Nullable(Int64)) AS messages_provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM rows_counted AS k
    WHERE k.day IS NOT NULL
    GROUP BY k.sdk_app_id, k.time_zone, k.day
),

hours AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.asked_at AS asked_at,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled,
        c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing AS here,
        c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected AS due,
        CASE WHEN c.sdk_app_id IN (SELECT ks.sdk_app_id FROM {{ ref('kpi_settings') }} AS ks) THEN c.sdk_app_id ELSE 0 END
            AS settings_app_id
    FROM {{ source('callweave', 'completeness') }} AS c
),

known AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        CAST(toDateTime64(toString(h.hour, z.time_zone), 6, 'UTC') AS Nullable(Date32)) AS day,
        SUM(h.here) AS here,
        SUM(h.due) AS due,
        MIN(h.settled) AS settled
    FROM hours AS h
    INNER JOIN {{ ref('kpi_settings') }} AS z ON z.sdk_app_id = h.settings_app_id
    GROUP BY h.sdk_app_id, CAST(toDateTime64(toString(h.hour, z.time_zone), 6, 'UTC') AS Nullable(Date32))
    HAVING COUNT(h.asked_at) > 0
),

beside AS (
    SELECT
        n.sdk_app_id AS sdk_app_id,
        n.time_zone AS time_zone,
        n.day AS day,
        n.message_count AS message_count,
        n.voicemail_delay_p50_seconds AS voicemail_delay_p50_seconds,
        n.voicemail_delay_p90_seconds AS voicemail_delay_p90_seconds,
        n.voicemail_delay_p95_seconds AS voicemail_delay_p95_seconds,
        n.voicemail_delay_max_seconds AS voicemail_delay_max_seconds,
        n.messages_provisional_count AS messages_provisional_count,
        n.as_of AS as_of,
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM numbers AS n
    LEFT JOIN known AS w ON w.sdk_app_id = n.sdk_app_id AND w.day = n.day
)

-- From one table, because ClickHouse takes a view's columns for what a join makes of them.
SELECT
    n.sdk_app_id AS sdk_app_id,
    n.time_zone AS time_zone,
    n.day AS day,
    n.message_count AS message_count,
    n.voicemail_delay_p50_seconds AS voicemail_delay_p50_seconds,
    n.voicemail_delay_p90_seconds AS voicemail_delay_p90_seconds,
    n.voicemail_delay_p95_seconds AS voicemail_delay_p95_seconds,
    n.voicemail_delay_max_seconds AS voicemail_delay_max_seconds,
    n.messages_provisional_count AS messages_provisional_count,
    CAST(n.messages_provisional_count AS Nullable(Float64)) / NULLIF(n.message_count, 0) AS messages_provisional_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- Voicemails and how late they come, by day.
-- The clock is the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
-- Each voicemail with its call: what kpi_daily_voicemail adds up.
WITH rows_counted AS (
    SELECT
        v.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.day AS day,
        s.day IS NOT NULL AS is_voicemail,
        CASE
            WHEN v.received_at IS NOT NULL AND COALESCE(v.source, '') <> 'api'
                THEN CAST(FLOOR(EXTRACT(EPOCH FROM v.received_at)) - FLOOR(EXTRACT(EPOCH FROM s.ended_at)) AS BIGINT)
        END AS delay_seconds,
        s.is_provisional AS is_provisional,
        s.loaded_at AS loaded_at
    FROM {{ source('callweave', 'voicemails') }} AS v
    INNER JOIN {{ ref('kpi_calls') }} AS s ON s.sdk_app_id = v.sdk_app_id AND s.session_id = v.session_id
    WHERE s.day IS NOT NULL
),

numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        CAST(COUNT(*) FILTER (WHERE k.is_voicemail) AS BIGINT) AS message_count,
        CAST(PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY k.delay_seconds) AS DOUBLE PRECISION) AS voicemail_delay_p50_seconds,
        CAST(PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY k.delay_seconds) AS DOUBLE PRECISION) AS voicemail_delay_p90_seconds,
        CAST(PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY k.delay_seconds) AS DOUBLE PRECISION) AS voicemail_delay_p95_seconds,
        CAST(MAX(k.delay_seconds) AS BIGINT) AS voicemail_delay_max_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_voicemail AND k.is_provisional) AS BIGINT) AS messages_provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM rows_counted AS k
    WHERE k.day IS NOT NULL
    GROUP BY k.sdk_app_id, k.time_zone, k.day
),

hours AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.asked_at AS asked_at,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled,
        c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing AS here,
        c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected AS due,
        CASE WHEN c.sdk_app_id IN (SELECT ks.sdk_app_id FROM {{ ref('kpi_settings') }} AS ks) THEN c.sdk_app_id ELSE 0 END
            AS settings_app_id
    FROM {{ source('callweave', 'completeness') }} AS c
),

known AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        CAST((h.hour AT TIME ZONE z.time_zone) AS DATE) AS day,
        SUM(h.here) AS here,
        SUM(h.due) AS due,
        MIN(h.settled) AS settled
    FROM hours AS h
    INNER JOIN {{ ref('kpi_settings') }} AS z ON z.sdk_app_id = h.settings_app_id
    GROUP BY h.sdk_app_id, CAST((h.hour AT TIME ZONE z.time_zone) AS DATE)
    HAVING COUNT(h.asked_at) > 0
),

beside AS (
    SELECT
        n.sdk_app_id AS sdk_app_id,
        n.time_zone AS time_zone,
        n.day AS day,
        n.message_count AS message_count,
        n.voicemail_delay_p50_seconds AS voicemail_delay_p50_seconds,
        n.voicemail_delay_p90_seconds AS voicemail_delay_p90_seconds,
        n.voicemail_delay_p95_seconds AS voicemail_delay_p95_seconds,
        n.voicemail_delay_max_seconds AS voicemail_delay_max_seconds,
        n.messages_provisional_count AS messages_provisional_count,
        n.as_of AS as_of,
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM numbers AS n
    LEFT JOIN known AS w ON w.sdk_app_id = n.sdk_app_id AND w.day = n.day
)

-- From one table, because ClickHouse takes a view's columns for what a join makes of them.
SELECT
    n.sdk_app_id AS sdk_app_id,
    n.time_zone AS time_zone,
    n.day AS day,
    n.message_count AS message_count,
    n.voicemail_delay_p50_seconds AS voicemail_delay_p50_seconds,
    n.voicemail_delay_p90_seconds AS voicemail_delay_p90_seconds,
    n.voicemail_delay_p95_seconds AS voicemail_delay_p95_seconds,
    n.voicemail_delay_max_seconds AS voicemail_delay_max_seconds,
    n.messages_provisional_count AS messages_provisional_count,
    CAST(n.messages_provisional_count AS DOUBLE PRECISION) / NULLIF(n.message_count, 0) AS messages_provisional_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
