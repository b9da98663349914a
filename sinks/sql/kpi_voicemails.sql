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
    FROM voicemails AS v
    INNER JOIN kpi_calls AS s ON s.sdk_app_id = v.sdk_app_id AND s.session_id = v.session_id
    WHERE s.day IS NOT NULL
),
