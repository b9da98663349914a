-- What each call counts for: every flag and duration that the other numbers add up, one row a session with a CDR.
-- Times have whole seconds, so comparisons with a target are <=. 0 and empty are NULL already (contract of the tables).
-- The first answer is the earliest of the legs', else the session's own; for outbound calls it is the customer's.
-- A filter on the day is one on `dated`: legs are fetched of the calls that are left, and what is costly is computed of
-- them alone. So nothing here may look at other calls: the caller's next one is in kpi_sessions.
WITH rules AS (
    SELECT
        k.sdk_app_id AS rules_app_id,
        k.time_zone AS time_zone,
        k.target_seconds AS target_seconds,
        k.short_abandon_seconds AS short_abandon_seconds,
        k.ringing_is_abandoned AS ringing_is_abandoned,
        k.genesys_adds_flow_outs AS genesys_adds_flow_outs,
        k.genesys_drops_short_abandons AS genesys_drops_short_abandons,
        k.genesys_drops_abandons AS genesys_drops_abandons,
        k.very_short_seconds AS very_short_seconds,
        k.late_seconds AS late_seconds,
        k.provisional_seconds AS provisional_seconds,
        k.fcr_days * 86400 AS fcr_seconds,
        k.containment_hours * 3600 AS containment_seconds,
        k.open_quarters AS open_quarters
    FROM kpi_settings AS k
),

owned AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.session_id AS session_id,
        CASE WHEN s.sdk_app_id IN (SELECT ks.sdk_app_id FROM kpi_settings AS ks) THEN s.sdk_app_id ELSE 0 END
            AS settings_app_id,
        CAST(FLOOR(EXTRACT(EPOCH FROM s.started_at)) AS BIGINT) AS started_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM s.queued_at)) AS BIGINT) AS queued_second,
        CAST(FLOOR(FLOOR(EXTRACT(EPOCH FROM s.started_at)) / 604800) AS BIGINT) AS week,
        s.version AS version,
        s.direction AS direction,
        s.call_type AS call_type,
        s.customer_number AS customer_number,
        s.line_number AS line_number,
        s.skill_group_id AS skill_group_id,
        s.skill_group_name AS skill_group_name,
        s.agent_mail AS agent_mail,
        s.end_status AS end_status,
        s.hung_up_by AS hung_up_by,
        s.started_at AS started_at,
        s.queued_at AS queued_at,
        s.answered_at AS answered_at,
        s.ended_at AS ended_at,
        s.recordings_received AS recordings_received,
        s.voicemail_count AS voicemail_count,
        s.source AS source,
        s.first_received_at AS first_received_at,
        s.last_received_at AS last_received_at,
        s.loaded_at AS loaded_at,
        s.extra AS extra
    FROM sessions AS s
    WHERE s.has_cdr
),

digits AS (
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

-- Asking a zone for the time of each call costs more than all else. A zone's distance from UTC stays the same all week but
-- for two weeks a year; so it is asked once a week, from 2000 to 2046, and for each call only in weeks that have a change.
week_numbers AS (
    SELECT CAST(1565 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS BIGINT) AS week
    FROM digits AS a
    CROSS JOIN digits AS b
    CROSS JOIN digits AS c
    CROSS JOIN digits AS d
    WHERE a.n + 10 * b.n + 100 * c.n + 1000 * d.n < 2440
),

zone_weeks AS (
    SELECT
        z.time_zone AS time_zone,
        w.week AS week,
        TO_TIMESTAMP(w.week * 604800) AS began,
        TO_TIMESTAMP(w.week * 604800 + 604800) AS ended
    FROM week_numbers AS w
    CROSS JOIN (SELECT DISTINCT k.time_zone AS time_zone FROM kpi_settings AS k) AS z
),

week_shifts AS (
    SELECT
        z.time_zone AS shift_zone,
        z.week AS shift_week,
        CAST(FLOOR(EXTRACT(EPOCH FROM (z.began AT TIME ZONE z.time_zone))) AS BIGINT) - z.week * 604800 AS shift_first,
        CAST(FLOOR(EXTRACT(EPOCH FROM (z.ended AT TIME ZONE z.time_zone))) AS BIGINT)
        - z.week * 604800 - 604800 AS shift_last
    FROM zone_weeks AS z
),

shifts AS (
    SELECT
        w.shift_zone AS shift_zone,
        w.shift_week AS shift_week,
        w.shift_first AS shift
    FROM week_shifts AS w
    WHERE w.shift_first = w.shift_last
),

ruled AS (
    SELECT
        o.*,
        r.*
    FROM owned AS o
    INNER JOIN rules AS r ON r.rules_app_id = o.settings_app_id
),

shifted AS (
    SELECT
        o.*,
        $started_local_second AS started_local_second,
        $queued_local_second AS queued_local_second
    FROM ruled AS o
    $shifts_joined
),

dated AS (
    SELECT
        d.*,
        CAST('1970-01-01' AS DATE) + CAST(FLOOR(d.started_local_second / 86400) AS INTEGER) AS started_day,
        CAST('1970-01-01' AS DATE) + CAST(FLOOR(d.queued_local_second / 86400) AS INTEGER) AS queued_day
    FROM shifted AS d
),

placed AS (
    SELECT
        s.*,
        l.first_rang_at AS first_rang_at,
        l.leg_answered_at AS leg_answered_at,
        CASE WHEN s.direction = 'outbound' THEN s.answered_at ELSE COALESCE(l.leg_answered_at, s.answered_at) END
            AS first_answered_at,
        l.leg_answered_at IS NOT NULL AS has_leg_answer,
        CAST(l.legs_seconds AS BIGINT) AS talk_seconds,
        l.leg_sequence_max AS leg_sequence_max,
        COALESCE(l.transferred, 0) AS transferred,
        COALESCE(s.direction, '') = 'inbound' AND COALESCE(s.call_type, '') <> 'internal' AS is_inbound,
        COALESCE(s.direction, '') = 'outbound'
        AND COALESCE(s.call_type, '') NOT IN ('internal', 'predictive_outbound') AS is_outbound,
        COALESCE(s.direction, '') = 'outbound' AND COALESCE(s.call_type, '') = 'predictive_outbound' AS is_predictive,
        $tccc_duration AS tccc_duration,
        $satisfaction_key AS satisfaction_key,
        $ivr_path AS ivr_path
    FROM dated AS s
    LEFT JOIN $lateral (
        SELECT
            l.sdk_app_id AS leg_app_id,
            l.session_id AS leg_session_id,
            MIN(l.rang_at) AS first_rang_at,
            MIN(l.answered_at) AS leg_answered_at,
            SUM(
                CASE
                    WHEN l.ended_at >= l.answered_at
                        THEN FLOOR(EXTRACT(EPOCH FROM l.ended_at)) - FLOOR(EXTRACT(EPOCH FROM l.answered_at))
                END
            ) AS legs_seconds,
            CAST(MAX(l.leg_sequence) AS BIGINT) AS leg_sequence_max,
            MAX(
                CASE
                    WHEN COALESCE(l.transfer_to, '') <> '' OR COALESCE(l.end_status, '') = 'seatForward' THEN 1
                    ELSE 0
                END
            ) AS transferred
        FROM legs AS l
        $legs_of_session
        GROUP BY l.sdk_app_id, l.session_id
    ) AS l ON l.leg_app_id = s.sdk_app_id AND l.leg_session_id = s.session_id
),

scores AS (
    SELECT
        k.sdk_app_id AS scores_app_id,
        k.satisfaction_key AS scored_key,
        k.score AS score
    FROM kpi_satisfaction_keys AS k
),

timed AS (
    SELECT
        p.*,
        -- Not m.score alone: where there is none, ClickHouse may say 0.
        CASE WHEN m.scored_key = p.satisfaction_key THEN m.score END AS satisfaction_score,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.first_rang_at)) AS BIGINT) AS rang_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.first_answered_at)) AS BIGINT) AS answered_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.ended_at)) AS BIGINT) AS ended_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM NOW())) AS BIGINT) AS now_second,
        p.is_inbound AND p.queued_at IS NOT NULL AS is_queued,
        p.is_inbound AND p.first_answered_at IS NOT NULL AS is_handled
    FROM placed AS p
    LEFT JOIN scores AS m ON m.scores_app_id = p.settings_app_id AND m.scored_key = p.satisfaction_key
),

measured AS (
    SELECT
        t.*,
        CASE
            WHEN t.is_queued AND COALESCE(t.answered_second, t.ended_second) >= t.queued_second
                THEN COALESCE(t.answered_second, t.ended_second) - t.queued_second
        END AS queue_wait_seconds,
        COALESCE(t.ended_second, t.started_second) + t.containment_seconds AS contained_until_second,
        COALESCE(t.ended_second, t.started_second) + t.fcr_seconds AS helped_until_second,
        t.is_queued AND t.first_answered_at IS NOT NULL AS is_answered,
        t.is_queued AND t.first_answered_at IS NULL AND (
            COALESCE(t.end_status, '') = 'waitingGiveUp'
            OR (COALESCE(t.end_status, '') = 'ringingGiveUp' AND t.ringing_is_abandoned)
        ) AS is_abandoned,
        t.is_inbound AND t.first_answered_at IS NULL AND (
            COALESCE(t.end_status, '') = 'ivrEnd'
            OR (t.queued_at IS NULL AND COALESCE(t.end_status, '') = 'ok')
        ) AS is_ivr_contained
    FROM timed AS t
),

judged AS (
    SELECT
        m.*,
        m.is_abandoned AND COALESCE(m.queue_wait_seconds < m.short_abandon_seconds, FALSE) AS is_short_abandoned,
        m.is_queued AND NOT m.is_answered AND NOT m.is_abandoned AS is_flow_out
    FROM measured AS m
)
