{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- Recordings: due, here, late, and how long TCCC still keeps them, by day.
-- The clock is the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
-- Each recording with its call: what kpi_daily_recording adds up. Recordings of unanswered legs are named and hardly come,
-- so they are not due. A push's delay counts; what only the API told of came by no push.
WITH rows_counted AS (
    SELECT
        r.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.day AS day,
        s.day IS NOT NULL AS is_recording,
        r.is_expected AND (r.leg_sequence IS NULL OR l.answered_at IS NOT NULL) AS is_due,
        r.received_at IS NOT NULL AS is_received,
        r.absent_at IS NOT NULL AS is_absent,
        CASE
            WHEN r.received_at IS NOT NULL AND COALESCE(r.source, '') <> 'api'
                THEN CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), r.received_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.ended_at)) AS Nullable(Int64))
        END AS delay_seconds,
        CASE
            WHEN r.received_at IS NOT NULL AND r.custom_url IS NULL
                THEN CAST(
                    FLOOR(90 - (dateDiff('second', toDateTime(0, 'UTC'), now64(6, 'UTC')) - dateDiff('second', toDateTime(0, 'UTC'), COALESCE(r.generated_at, s.ended_at))) / 86400)
                    AS Nullable(Int64)
                )
        END AS kept_days_left,
        COALESCE(f.status, '') IN ('waiting', 'stored', 'lost', 'refused', 'deleted') AS is_archive_due,
        COALESCE(f.status, '') IN ('stored', 'deleted') AS is_archived,
        CASE
            WHEN COALESCE(f.status, '') = 'waiting'
                THEN CAST(
                    FLOOR(90 - (dateDiff('second', toDateTime(0, 'UTC'), now64(6, 'UTC')) - dateDiff('second', toDateTime(0, 'UTC'), COALESCE(f.generated_at, s.ended_at))) / 86400)
                    AS Nullable(Int64)
                )
        END AS archive_days_left,
        s.is_provisional AS is_provisional,
        s.loaded_at AS loaded_at
    FROM {{ source('callweave', 'recordings') }} AS r
    INNER JOIN {{ ref('kpi_calls') }} AS s ON s.sdk_app_id = r.sdk_app_id AND s.session_id = r.session_id
    LEFT JOIN {{ source('callweave', 'legs') }} AS l
        ON l.sdk_app_id = r.sdk_app_id AND l.session_id = r.session_id AND l.leg_sequence = r.leg_sequence
    LEFT JOIN {{ source('callweave', 'recording_files') }} AS f
        ON
            f.sdk_app_id = r.sdk_app_id
            AND f.session_id = r.session_id
            AND f.recording_id = r.recording_id
            AND f.file_kind = 'recording'
    WHERE s.day IS NOT NULL
),

numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        CAST(COUNT(*) FILTER (WHERE k.is_recording) AS Nullable(Int64)) AS recording_count,
        CAST(COUNT(*) FILTER (WHERE k.is_due) AS Nullable(Int64)) AS recordings_due_count,
        CAST(COUNT(*) FILTER (WHERE k.is_due AND k.is_received) AS Nullable(Int64)) AS recordings_due_received_count,
        CAST(COUNT(*) FILTER (WHERE k.is_due AND k.is_absent) AS Nullable(Int64)) AS recordings_due_absent_count,
        CAST(COUNT(*) FILTER (WHERE k.kept_days_left IS NOT NULL) AS Nullable(Int64)) AS recordings_kept_by_tccc_count,
        CAST(MIN(k.kept_days_left) AS Nullable(Int64)) AS kept_days_left_min,
        CAST(quantileExactInclusive(0.5)(k.delay_seconds) AS Nullable(Float64)) AS recording_delay_p50_seconds,
        CAST(quantileExactInclusive(0.9)(k.delay_seconds) AS Nullable(Float64)) AS recording_delay_p90_seconds,
        CAST(quantileExactInclusive(0.95)(k.delay_seconds) AS Nullable(Float64)) AS recording_delay_p95_seconds,
        CAST(MAX(k.delay_seconds) AS Nullable(Int64)) AS recording_delay_max_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_archive_due) AS Nullable(Int64)) AS archive_due_count,
        CAST(COUNT(*) FILTER (WHERE k.is_archived) AS Nullable(Int64)) AS archived_count,
        CAST(MIN(k.archive_days_left) AS Nullable(Int64)) AS archive_days_left_min,
        CAST(COUNT(*) FILTER (WHERE k.is_recording AND k.is_provisional) AS Nullable(Int64)) AS recordings_provisional_count,
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
        n.recording_count AS recording_count,
        n.recordings_due_count AS recordings_due_count,
        n.recordings_due_received_count AS recordings_due_received_count,
        n.recordings_due_absent_count AS recordings_due_absent_count,
        n.recordings_kept_by_tccc_count AS recordings_kept_by_tccc_count,
        n.kept_days_left_min AS kept_days_left_min,
        n.recording_delay_p50_seconds AS recording_delay_p50_seconds,
        n.recording_delay_p90_seconds AS recording_delay_p90_seconds,
        n.recording_delay_p95_seconds AS recording_delay_p95_seconds,
        n.recording_delay_max_seconds AS recording_delay_max_seconds,
        n.archive_due_count AS archive_due_count,
        n.archived_count AS archived_count,
        n.archive_days_left_min AS archive_days_left_min,
        n.recordings_provisional_count AS recordings_provisional_count,
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
    n.recording_count AS recording_count,
    n.recordings_due_count AS recordings_due_count,
    n.recordings_due_received_count AS recordings_due_received_count,
    CAST(n.recordings_due_received_count AS Nullable(Float64)) / NULLIF(n.recordings_due_count, 0) AS recording_coverage,
    n.recordings_due_absent_count AS recordings_due_absent_count,
    n.recordings_kept_by_tccc_count AS recordings_kept_by_tccc_count,
    n.kept_days_left_min AS kept_days_left_min,
    n.recording_delay_p50_seconds AS recording_delay_p50_seconds,
    n.recording_delay_p90_seconds AS recording_delay_p90_seconds,
    n.recording_delay_p95_seconds AS recording_delay_p95_seconds,
    n.recording_delay_max_seconds AS recording_delay_max_seconds,
    n.archive_due_count AS archive_due_count,
    n.archived_count AS archived_count,
    CAST(n.archived_count AS Nullable(Float64)) / NULLIF(n.archive_due_count, 0) AS archive_coverage,
    n.archive_days_left_min AS archive_days_left_min,
    n.recordings_provisional_count AS recordings_provisional_count,
    CAST(n.recordings_provisional_count AS Nullable(Float64)) / NULLIF(n.recording_count, 0) AS recordings_provisional_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- Recordings: due, here, late, and how long TCCC still keeps them, by day.
-- The clock is the start of the call. Numerators and denominators stand beside each ratio, to be added up over more rows.
-- Each recording with its call: what kpi_daily_recording adds up. Recordings of unanswered legs are named and hardly come,
-- so they are not due. A push's delay counts; what only the API told of came by no push.
WITH rows_counted AS (
    SELECT
        r.sdk_app_id AS sdk_app_id,
        s.time_zone AS time_zone,
        s.day AS day,
        s.day IS NOT NULL AS is_recording,
        r.is_expected AND (r.leg_sequence IS NULL OR l.answered_at IS NOT NULL) AS is_due,
        r.received_at IS NOT NULL AS is_received,
        r.absent_at IS NOT NULL AS is_absent,
        CASE
            WHEN r.received_at IS NOT NULL AND COALESCE(r.source, '') <> 'api'
                THEN CAST(FLOOR(EXTRACT(EPOCH FROM r.received_at)) - FLOOR(EXTRACT(EPOCH FROM s.ended_at)) AS BIGINT)
        END AS delay_seconds,
        CASE
            WHEN r.received_at IS NOT NULL AND r.custom_url IS NULL
                THEN CAST(
                    FLOOR(90 - (EXTRACT(EPOCH FROM NOW()) - EXTRACT(EPOCH FROM COALESCE(r.generated_at, s.ended_at))) / 86400)
                    AS BIGINT
                )
        END AS kept_days_left,
        COALESCE(f.status, '') IN ('waiting', 'stored', 'lost', 'refused', 'deleted') AS is_archive_due,
        COALESCE(f.status, '') IN ('stored', 'deleted') AS is_archived,
        CASE
            WHEN COALESCE(f.status, '') = 'waiting'
                THEN CAST(
                    FLOOR(90 - (EXTRACT(EPOCH FROM NOW()) - EXTRACT(EPOCH FROM COALESCE(f.generated_at, s.ended_at))) / 86400)
                    AS BIGINT
                )
        END AS archive_days_left,
        s.is_provisional AS is_provisional,
        s.loaded_at AS loaded_at
    FROM {{ source('callweave', 'recordings') }} AS r
    INNER JOIN {{ ref('kpi_calls') }} AS s ON s.sdk_app_id = r.sdk_app_id AND s.session_id = r.session_id
    LEFT JOIN {{ source('callweave', 'legs') }} AS l
        ON l.sdk_app_id = r.sdk_app_id AND l.session_id = r.session_id AND l.leg_sequence = r.leg_sequence
    LEFT JOIN {{ source('callweave', 'recording_files') }} AS f
        ON
            f.sdk_app_id = r.sdk_app_id
            AND f.session_id = r.session_id
            AND f.recording_id = r.recording_id
            AND f.file_kind = 'recording'
    WHERE s.day IS NOT NULL
),

numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        CAST(COUNT(*) FILTER (WHERE k.is_recording) AS BIGINT) AS recording_count,
        CAST(COUNT(*) FILTER (WHERE k.is_due) AS BIGINT) AS recordings_due_count,
        CAST(COUNT(*) FILTER (WHERE k.is_due AND k.is_received) AS BIGINT) AS recordings_due_received_count,
        CAST(COUNT(*) FILTER (WHERE k.is_due AND k.is_absent) AS BIGINT) AS recordings_due_absent_count,
        CAST(COUNT(*) FILTER (WHERE k.kept_days_left IS NOT NULL) AS BIGINT) AS recordings_kept_by_tccc_count,
        CAST(MIN(k.kept_days_left) AS BIGINT) AS kept_days_left_min,
        CAST(PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY k.delay_seconds) AS DOUBLE PRECISION) AS recording_delay_p50_seconds,
        CAST(PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY k.delay_seconds) AS DOUBLE PRECISION) AS recording_delay_p90_seconds,
        CAST(PERCENTILE_CONT(0.95) WITHIN GROUP (ORDER BY k.delay_seconds) AS DOUBLE PRECISION) AS recording_delay_p95_seconds,
        CAST(MAX(k.delay_seconds) AS BIGINT) AS recording_delay_max_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_archive_due) AS BIGINT) AS archive_due_count,
        CAST(COUNT(*) FILTER (WHERE k.is_archived) AS BIGINT) AS archived_count,
        CAST(MIN(k.archive_days_left) AS BIGINT) AS archive_days_left_min,
        CAST(COUNT(*) FILTER (WHERE k.is_recording AND k.is_provisional) AS BIGINT) AS recordings_provisional_count,
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
        n.recording_count AS recording_count,
        n.recordings_due_count AS recordings_due_count,
        n.recordings_due_received_count AS recordings_due_received_count,
        n.recordings_due_absent_count AS recordings_due_absent_count,
        n.recordings_kept_by_tccc_count AS recordings_kept_by_tccc_count,
        n.kept_days_left_min AS kept_days_left_min,
        n.recording_delay_p50_seconds AS recording_delay_p50_seconds,
        n.recording_delay_p90_seconds AS recording_delay_p90_seconds,
        n.recording_delay_p95_seconds AS recording_delay_p95_seconds,
        n.recording_delay_max_seconds AS recording_delay_max_seconds,
        n.archive_due_count AS archive_due_count,
        n.archived_count AS archived_count,
        n.archive_days_left_min AS archive_days_left_min,
        n.recordings_provisional_count AS recordings_provisional_count,
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
    n.recording_count AS recording_count,
    n.recordings_due_count AS recordings_due_count,
    n.recordings_due_received_count AS recordings_due_received_count,
    CAST(n.recordings_due_received_count AS DOUBLE PRECISION) / NULLIF(n.recordings_due_count, 0) AS recording_coverage,
    n.recordings_due_absent_count AS recordings_due_absent_count,
    n.recordings_kept_by_tccc_count AS recordings_kept_by_tccc_count,
    n.kept_days_left_min AS kept_days_left_min,
    n.recording_delay_p50_seconds AS recording_delay_p50_seconds,
    n.recording_delay_p90_seconds AS recording_delay_p90_seconds,
    n.recording_delay_p95_seconds AS recording_delay_p95_seconds,
    n.recording_delay_max_seconds AS recording_delay_max_seconds,
    n.archive_due_count AS archive_due_count,
    n.archived_count AS archived_count,
    CAST(n.archived_count AS DOUBLE PRECISION) / NULLIF(n.archive_due_count, 0) AS archive_coverage,
    n.archive_days_left_min AS archive_days_left_min,
    n.recordings_provisional_count AS recordings_provisional_count,
    CAST(n.recordings_provisional_count AS DOUBLE PRECISION) / NULLIF(n.recording_count, 0) AS recordings_provisional_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
