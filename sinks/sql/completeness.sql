-- How complete each application's hour is: what was pushed, what the API knows, what is here, what is missing.
-- An hour is the one, in UTC, in which calls ended. A session without an end counts where it started; one of which only
-- recordings or voicemails came, where the first of them was made, else where its first report was received.
-- Known to the API: the API gave a CDR of it (source is api or push+api). Every hour that was asked for has a row.
WITH tracks AS (
    SELECT sdk_app_id, session_id, generated_at FROM recordings
    UNION ALL
    SELECT sdk_app_id, session_id, generated_at FROM voicemails
),

first_tracks AS (
    SELECT t.sdk_app_id AS sdk_app_id, t.session_id AS session_id, MIN(t.generated_at) AS made_at
    FROM tracks AS t
    INNER JOIN sessions AS s ON s.sdk_app_id = t.sdk_app_id AND s.session_id = t.session_id
    WHERE s.ended_at IS NULL AND s.started_at IS NULL
    GROUP BY t.sdk_app_id, t.session_id
),

-- What only the API told of recordings; few have any, so few rows are grouped.
told AS (
    SELECT
        sdk_app_id,
        session_id,
        SUM(CASE WHEN received_at IS NOT NULL THEN 1 ELSE 0 END) AS recovered,
        SUM(CASE WHEN absent_at IS NOT NULL THEN 1 ELSE 0 END) AS absent
    FROM recordings
    WHERE (received_at IS NOT NULL AND source = 'api') OR absent_at IS NOT NULL
    GROUP BY sdk_app_id, session_id
),

-- What the archiver took up, of each session: it waits, came, was given up, or was deleted after it had been kept.
archived AS (
    SELECT
        sdk_app_id,
        session_id,
        COUNT(*) AS due,
        SUM(CASE WHEN status IN ('stored', 'deleted') THEN 1 ELSE 0 END) AS stored,
        MIN(CASE WHEN status = 'waiting' THEN COALESCE(generated_at, first_seen_at) END) AS oldest_waiting
    FROM recording_files
    WHERE status IN ('waiting', 'stored', 'lost', 'refused', 'deleted')
    GROUP BY sdk_app_id, session_id
),

placed AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.has_cdr AS has_cdr,
        s.source AS source,
        s.recordings_expected AS recordings_expected,
        s.recordings_received AS recordings_received,
        s.recordings_missing AS recordings_missing,
        COALESCE(r.recovered, 0) AS recordings_recovered,
        COALESCE(r.absent, 0) AS recordings_absent,
        COALESCE(a.due, 0) AS archive_due,
        COALESCE(a.stored, 0) AS archive_stored,
        a.oldest_waiting AS archive_oldest,
        s.loaded_at AS loaded_at,
        CAST(
            FLOOR(EXTRACT(EPOCH FROM COALESCE(s.ended_at, s.started_at, t.made_at, s.first_received_at))) AS BIGINT
        ) AS second_of_hour,
        CAST(FLOOR(EXTRACT(EPOCH FROM s.started_at)) AS BIGINT) AS second_of_start
    FROM sessions AS s
    LEFT JOIN first_tracks AS t ON t.sdk_app_id = s.sdk_app_id AND t.session_id = s.session_id
    LEFT JOIN told AS r ON r.sdk_app_id = s.sdk_app_id AND r.session_id = s.session_id
    LEFT JOIN archived AS a ON a.sdk_app_id = s.sdk_app_id AND a.session_id = s.session_id
),

-- Final hours without a gap between them are a run: the same distance between the hour and its place among them.
runs AS (
    SELECT
        w.*,
        CAST(EXTRACT(EPOCH FROM w.window_start) AS BIGINT) / 3600
        - ROW_NUMBER() OVER (PARTITION BY w.sdk_app_id, w.is_final ORDER BY w.window_start) AS run
    FROM reconcile_windows AS w
),

windows AS (
    SELECT
        sdk_app_id,
        window_start,
        window_end,
        asked_at,
        unusable_count,
        loaded_at,
        CASE WHEN is_final THEN MIN(window_start) OVER (PARTITION BY sdk_app_id, is_final, run) END AS final_since
    FROM runs
),

parts AS (
    SELECT
        sdk_app_id,
        TO_TIMESTAMP(second_of_hour - second_of_hour % 3600) AS hour,
        TO_TIMESTAMP(second_of_start - second_of_start % 3600) AS began,
        CASE WHEN source IN ('api', 'push+api') THEN 1 ELSE 0 END AS known_to_api,
        CASE WHEN has_cdr THEN 1 ELSE 0 END AS in_warehouse,
        CASE WHEN source IN ('push', 'push+api') THEN 1 ELSE 0 END AS by_push,
        CASE WHEN source = 'api' THEN 1 ELSE 0 END AS api_only,
        CASE WHEN source = 'push' THEN 1 ELSE 0 END AS push_only,
        CASE WHEN has_cdr THEN 0 ELSE 1 END AS without_cdr,
        0 AS unusable,
        recordings_expected AS expected,
        recordings_received AS received,
        recordings_recovered AS recovered,
        recordings_absent AS absent,
        recordings_missing AS missing,
        archive_due,
        archive_stored,
        archive_oldest,
        CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS asked_at,
        CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS read_to,
        CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS final_since,
        loaded_at
    FROM placed
    UNION ALL
    SELECT
        sdk_app_id,
        window_start,
        NULL,
        0,
        0,
        0,
        0,
        0,
        0,
        unusable_count,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        NULL,
        asked_at,
        window_end,
        final_since,
        loaded_at
    FROM windows
),

hours AS (
    SELECT
        sdk_app_id,
        hour,
        CAST(SUM(known_to_api) AS BIGINT) AS sessions_known_to_api,
        CAST(SUM(in_warehouse) AS BIGINT) AS sessions_in_warehouse,
        CAST(SUM(by_push) AS BIGINT) AS sessions_by_push,
        CAST(SUM(api_only) AS BIGINT) AS sessions_api_only,
        CAST(SUM(push_only) AS BIGINT) AS sessions_push_only,
        CAST(SUM(without_cdr) AS BIGINT) AS sessions_without_cdr,
        CAST(SUM(unusable) AS BIGINT) AS api_rows_unusable,
        CAST(SUM(expected) AS BIGINT) AS recordings_expected,
        CAST(SUM(received) AS BIGINT) AS recordings_received,
        CAST(SUM(recovered) AS BIGINT) AS recordings_recovered,
        CAST(SUM(absent) AS BIGINT) AS recordings_absent,
        CAST(SUM(missing) AS BIGINT) AS recordings_missing,
        CAST(SUM(archive_due) AS BIGINT) AS archive_due,
        CAST(SUM(archive_stored) AS BIGINT) AS archive_stored,
        MIN(archive_oldest) AS archive_oldest,
        MAX(asked_at) AS asked_at,
        MAX(read_to) AS read_to,
        MAX(final_since) AS final_since,
        MIN(began) AS first_began,
        MAX(loaded_at) AS as_of
    FROM parts
    GROUP BY sdk_app_id, hour
)

SELECT
    sdk_app_id,
    hour,
    sessions_known_to_api,
    sessions_in_warehouse,
    sessions_by_push,
    sessions_api_only,
    sessions_push_only,
    sessions_without_cdr,
    api_rows_unusable,
    recordings_expected,
    recordings_received,
    recordings_recovered,
    recordings_absent,
    recordings_missing,
    -- Here: each CDR, and each named recording that came or is known to be absent. Due: those, and what is known to lack.
    CAST(sessions_in_warehouse + recordings_expected - recordings_missing AS DOUBLE PRECISION)
    / NULLIF(sessions_in_warehouse + sessions_without_cdr + api_rows_unusable + recordings_expected, 0) AS share,
    asked_at,
    read_to,
    -- What DescribeTelCdr's window filters is not documented. Should it be the start of a call: calls of this hour began
    -- in it, in the one before, or as early as the earliest of them (a day before at most); all of these must be final.
    COALESCE(
        final_since
        <= LEAST(hour - INTERVAL '1 hour', GREATEST(COALESCE(first_began, hour), hour - INTERVAL '24 hours')),
        FALSE
    ) AS is_final,
    as_of,
    archive_due,
    archive_stored,
    archive_due - archive_stored AS archive_missing,
    -- TCCC keeps audio for three months.
    CAST(FLOOR(90 - (EXTRACT(EPOCH FROM NOW()) - EXTRACT(EPOCH FROM archive_oldest)) / 86400) AS BIGINT)
    AS archive_days_left_min
FROM hours
