{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- How calls end, by day, direction and call type.
-- The clock is started_at, the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
WITH numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        k.direction AS direction,
        k.call_type AS call_type,
        k.end_status AS end_status,
        CAST(COUNT(*) AS Nullable(Int64)) AS session_count,
        CAST(COUNT(*) FILTER (WHERE k.is_provisional) AS Nullable(Int64)) AS provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM {{ ref('kpi_calls') }} AS k
    WHERE k.day IS NOT NULL
    GROUP BY k.sdk_app_id, k.time_zone, k.day, k.direction, k.call_type, k.end_status
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
        n.direction AS direction,
        n.call_type AS call_type,
        n.end_status AS end_status,
        n.session_count AS session_count,
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
    n.direction AS direction,
    n.call_type AS call_type,
    n.end_status AS end_status,
    n.session_count AS session_count,
    n.provisional_count AS provisional_count,
    CAST(n.provisional_count AS Nullable(Float64)) / NULLIF(n.session_count, 0) AS provisional_share,
    CAST(n.session_count AS Nullable(Float64)) / SUM(n.session_count) OVER (PARTITION BY n.sdk_app_id, n.day, n.direction, n.call_type) AS end_reason_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- How calls end, by day, direction and call type.
-- The clock is started_at, the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
WITH numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        k.direction AS direction,
        k.call_type AS call_type,
        k.end_status AS end_status,
        CAST(COUNT(*) AS BIGINT) AS session_count,
        CAST(COUNT(*) FILTER (WHERE k.is_provisional) AS BIGINT) AS provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM {{ ref('kpi_calls') }} AS k
    WHERE k.day IS NOT NULL
    GROUP BY k.sdk_app_id, k.time_zone, k.day, k.direction, k.call_type, k.end_status
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
        n.direction AS direction,
        n.call_type AS call_type,
        n.end_status AS end_status,
        n.session_count AS session_count,
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
    n.direction AS direction,
    n.call_type AS call_type,
    n.end_status AS end_status,
    n.session_count AS session_count,
    n.provisional_count AS provisional_count,
    CAST(n.provisional_count AS DOUBLE PRECISION) / NULLIF(n.session_count, 0) AS provisional_share,
    CAST(n.session_count AS DOUBLE PRECISION) / SUM(n.session_count) OVER (PARTITION BY n.sdk_app_id, n.day, n.direction, n.call_type) AS end_reason_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
