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
    FROM recordings AS r
    INNER JOIN kpi_calls AS s ON s.sdk_app_id = r.sdk_app_id AND s.session_id = r.session_id
    LEFT JOIN legs AS l
        ON l.sdk_app_id = r.sdk_app_id AND l.session_id = r.session_id AND l.leg_sequence = r.leg_sequence
    LEFT JOIN recording_files AS f
        ON
            f.sdk_app_id = r.sdk_app_id
            AND f.session_id = r.session_id
            AND f.recording_id = r.recording_id
            AND f.file_kind = 'recording'
    WHERE s.day IS NOT NULL
),
