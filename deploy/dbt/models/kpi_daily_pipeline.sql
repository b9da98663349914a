{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- How callweave itself does: what came late, again or only from the API, and how fast, by day.
-- The clock is started_at, the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
WITH numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        CAST(COUNT(*) AS Nullable(Int64)) AS session_count,
        CAST(COUNT(*) FILTER (WHERE k.came_late) AS Nullable(Int64)) AS late_count,
        CAST(COUNT(*) FILTER (WHERE k.was_heard_again) AS Nullable(Int64)) AS heard_again_count,
        CAST(COUNT(*) FILTER (WHERE k.source = 'api') AS Nullable(Int64)) AS api_only_count,
        CAST(quantileExactInclusive(0.5)(k.received_after_seconds) AS Nullable(Float64)) AS received_after_p50_seconds,
        CAST(quantileExactInclusive(0.9)(k.received_after_seconds) AS Nullable(Float64)) AS received_after_p90_seconds,
        CAST(quantileExactInclusive(0.95)(k.received_after_seconds) AS Nullable(Float64)) AS received_after_p95_seconds,
        CAST(MAX(k.received_after_seconds) AS Nullable(Int64)) AS received_after_max_seconds,
        CAST(quantileExactInclusive(0.5)(k.committed_after_seconds) AS Nullable(Float64)) AS committed_after_p50_seconds,
        CAST(quantileExactInclusive(0.9)(k.committed_after_seconds) AS Nullable(Float64)) AS committed_after_p90_seconds,
        CAST(quantileExactInclusive(0.95)(k.committed_after_seconds) AS Nullable(Float64)) AS committed_after_p95_seconds,
        CAST(MAX(k.committed_after_seconds) AS Nullable(Int64)) AS committed_after_max_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_provisional) AS Nullable(Int64)) AS provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM {{ ref('kpi_calls') }} AS k
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
        n.session_count AS session_count,
        n.late_count AS late_count,
        n.heard_again_count AS heard_again_count,
        n.api_only_count AS api_only_count,
        n.received_after_p50_seconds AS received_after_p50_seconds,
        n.received_after_p90_seconds AS received_after_p90_seconds,
        n.received_after_p95_seconds AS received_after_p95_seconds,
        n.received_after_max_seconds AS received_after_max_seconds,
        n.committed_after_p50_seconds AS committed_after_p50_seconds,
        n.committed_after_p90_seconds AS committed_after_p90_seconds,
        n.committed_after_p95_seconds AS committed_after_p95_seconds,
        n.committed_after_max_seconds AS committed_after_max_seconds,
        n.provisional_count AS provisional_count,
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
    n.session_count AS session_count,
    n.late_count AS late_count,
    CAST(n.late_count AS Nullable(Float64)) / NULLIF(n.session_count, 0) AS late_rate,
    n.heard_again_count AS heard_again_count,
    CAST(n.heard_again_count AS Nullable(Float64)) / NULLIF(n.session_count, 0) AS heard_again_rate,
    n.api_only_count AS api_only_count,
    CAST(n.api_only_count AS Nullable(Float64)) / NULLIF(n.session_count, 0) AS api_only_rate,
    n.received_after_p50_seconds AS received_after_p50_seconds,
    n.received_after_p90_seconds AS received_after_p90_seconds,
    n.received_after_p95_seconds AS received_after_p95_seconds,
    n.received_after_max_seconds AS received_after_max_seconds,
    n.committed_after_p50_seconds AS committed_after_p50_seconds,
    n.committed_after_p90_seconds AS committed_after_p90_seconds,
    n.committed_after_p95_seconds AS committed_after_p95_seconds,
    n.committed_after_max_seconds AS committed_after_max_seconds,
    n.provisional_count AS provisional_count,
    CAST(n.provisional_count AS Nullable(Float64)) / NULLIF(n.session_count, 0) AS provisional_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- How callweave itself does: what came late, again or only from the API, and how fast, by day.
-- The clock is started_at, the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
WITH numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        CAST(COUNT(*) AS BIGINT) AS session_count,
        CAST(COUNT(*) FILTER (WHERE k.came_late) AS BIGINT) AS late_count,
        CAST(COUNT(*) FILTER (WHERE k.was_heard_again) AS BIGINT) AS heard_again_count,
        CAST(COUNT(*) FILTER (WHERE k.source = 'api') AS BIGINT) AS api_only_count,
        CAST(PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY k.received_after_seconds) AS DOUBLE PRECISION) AS received_after_p50_seconds,
        CAST(PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY k.received_after_seconds) AS DOUBLE PRECISION) AS received_after_p90_seconds,
        CAST(PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY k.received_after_seconds) AS DOUBLE PRECISION) AS received_after_p95_seconds,
        CAST(MAX(k.received_after_seconds) AS BIGINT) AS received_after_max_seconds,
        CAST(PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY k.committed_after_seconds) AS DOUBLE PRECISION) AS committed_after_p50_seconds,
        CAST(PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY k.committed_after_seconds) AS DOUBLE PRECISION) AS committed_after_p90_seconds,
        CAST(PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY k.committed_after_seconds) AS DOUBLE PRECISION) AS committed_after_p95_seconds,
        CAST(MAX(k.committed_after_seconds) AS BIGINT) AS committed_after_max_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_provisional) AS BIGINT) AS provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM {{ ref('kpi_calls') }} AS k
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
        n.session_count AS session_count,
        n.late_count AS late_count,
        n.heard_again_count AS heard_again_count,
        n.api_only_count AS api_only_count,
        n.received_after_p50_seconds AS received_after_p50_seconds,
        n.received_after_p90_seconds AS received_after_p90_seconds,
        n.received_after_p95_seconds AS received_after_p95_seconds,
        n.received_after_max_seconds AS received_after_max_seconds,
        n.committed_after_p50_seconds AS committed_after_p50_seconds,
        n.committed_after_p90_seconds AS committed_after_p90_seconds,
        n.committed_after_p95_seconds AS committed_after_p95_seconds,
        n.committed_after_max_seconds AS committed_after_max_seconds,
        n.provisional_count AS provisional_count,
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
    n.session_count AS session_count,
    n.late_count AS late_count,
    CAST(n.late_count AS DOUBLE PRECISION) / NULLIF(n.session_count, 0) AS late_rate,
    n.heard_again_count AS heard_again_count,
    CAST(n.heard_again_count AS DOUBLE PRECISION) / NULLIF(n.session_count, 0) AS heard_again_rate,
    n.api_only_count AS api_only_count,
    CAST(n.api_only_count AS DOUBLE PRECISION) / NULLIF(n.session_count, 0) AS api_only_rate,
    n.received_after_p50_seconds AS received_after_p50_seconds,
    n.received_after_p90_seconds AS received_after_p90_seconds,
    n.received_after_p95_seconds AS received_after_p95_seconds,
    n.received_after_max_seconds AS received_after_max_seconds,
    n.committed_after_p50_seconds AS committed_after_p50_seconds,
    n.committed_after_p90_seconds AS committed_after_p90_seconds,
    n.committed_after_p95_seconds AS committed_after_p95_seconds,
    n.committed_after_max_seconds AS committed_after_max_seconds,
    n.provisional_count AS provisional_count,
    CAST(n.provisional_count AS DOUBLE PRECISION) / NULLIF(n.session_count, 0) AS provisional_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
