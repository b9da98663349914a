-- What each call counts for: every flag and duration that the other numbers add up, one row a session with a CDR.
-- Times have whole seconds, so comparisons with a target are <=. 0 and empty are NULL already (contract of the tables).
-- The first answer is the earliest of the legs', else the session's own; for outbound calls it is the customer's.
WITH leg_facts AS (
    SELECT
        l.sdk_app_id AS sdk_app_id,
        l.session_id AS session_id,
        MIN(l.rang_at) AS first_rang_at,
        MIN(l.answered_at) AS first_answered_at,
        SUM(
            CASE
                WHEN l.ended_at >= l.answered_at
                    THEN FLOOR(EXTRACT(EPOCH FROM l.ended_at)) - FLOOR(EXTRACT(EPOCH FROM l.answered_at))
            END
        ) AS talk_seconds,
        CAST(MAX(l.leg_sequence) AS BIGINT) AS leg_sequence_max,
        MAX(
            CASE WHEN COALESCE(l.transfer_to, '') <> '' OR COALESCE(l.end_status, '') = 'seatForward' THEN 1 ELSE 0 END
        ) AS transferred
    FROM legs AS l
    GROUP BY l.sdk_app_id, l.session_id
),

placed AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.session_id AS session_id,
        CASE WHEN s.sdk_app_id IN (SELECT ks.sdk_app_id FROM kpi_settings AS ks) THEN s.sdk_app_id ELSE 0 END
            AS settings_app_id,
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
        l.first_rang_at AS first_rang_at,
        l.first_answered_at AS leg_answered_at,
        CASE
            WHEN s.direction = 'outbound' THEN s.answered_at
            ELSE COALESCE(l.first_answered_at, s.answered_at)
        END AS first_answered_at,
        l.first_answered_at IS NOT NULL AS has_leg_answer,
        CAST(l.talk_seconds AS BIGINT) AS talk_seconds,
        l.leg_sequence_max AS leg_sequence_max,
        COALESCE(l.transferred, 0) AS transferred,
        COALESCE(s.direction, '') = 'inbound' AND COALESCE(s.call_type, '') <> 'internal' AS is_inbound,
        COALESCE(s.direction, '') = 'outbound'
        AND COALESCE(s.call_type, '') NOT IN ('internal', 'predictive_outbound') AS is_outbound,
        COALESCE(s.direction, '') = 'outbound' AND COALESCE(s.call_type, '') = 'predictive_outbound' AS is_predictive,
        $tccc_duration AS tccc_duration,
        $satisfaction_key AS satisfaction_key,
        $ivr_path AS ivr_path
    FROM sessions AS s
    LEFT JOIN leg_facts AS l ON l.sdk_app_id = s.sdk_app_id AND l.session_id = s.session_id
    WHERE s.has_cdr
),

timed AS (
    SELECT
        p.sdk_app_id AS sdk_app_id,
        p.session_id AS session_id,
        p.version AS version,
        p.direction AS direction,
        p.call_type AS call_type,
        p.customer_number AS customer_number,
        p.line_number AS line_number,
        p.skill_group_id AS skill_group_id,
        p.skill_group_name AS skill_group_name,
        p.agent_mail AS agent_mail,
        p.end_status AS end_status,
        p.hung_up_by AS hung_up_by,
        p.started_at AS started_at,
        p.queued_at AS queued_at,
        p.answered_at AS answered_at,
        p.ended_at AS ended_at,
        p.recordings_received AS recordings_received,
        p.voicemail_count AS voicemail_count,
        p.source AS source,
        p.first_received_at AS first_received_at,
        p.last_received_at AS last_received_at,
        p.loaded_at AS loaded_at,
        p.first_rang_at AS first_rang_at,
        p.leg_answered_at AS leg_answered_at,
        p.first_answered_at AS first_answered_at,
        p.has_leg_answer AS has_leg_answer,
        p.talk_seconds AS talk_seconds,
        p.leg_sequence_max AS leg_sequence_max,
        p.transferred AS transferred,
        p.is_inbound AS is_inbound,
        p.is_outbound AS is_outbound,
        p.is_predictive AS is_predictive,
        p.tccc_duration AS tccc_duration,
        p.satisfaction_key AS satisfaction_key,
        p.ivr_path AS ivr_path,
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
        k.open_quarters AS open_quarters,
        -- Not m.score alone: where there is none, ClickHouse may say 0.
        CASE WHEN m.satisfaction_key = p.satisfaction_key THEN m.score END AS satisfaction_score,
        (p.started_at AT TIME ZONE k.time_zone) AS started_local,
        (p.queued_at AT TIME ZONE k.time_zone) AS queued_local,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.started_at)) AS BIGINT) AS started_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.queued_at)) AS BIGINT) AS queued_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.first_rang_at)) AS BIGINT) AS rang_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.first_answered_at)) AS BIGINT) AS answered_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM p.ended_at)) AS BIGINT) AS ended_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM NOW())) AS BIGINT) AS now_second,
        p.is_inbound AND p.queued_at IS NOT NULL AS is_queued,
        p.is_inbound AND p.first_answered_at IS NOT NULL AS is_handled
    FROM placed AS p
    INNER JOIN kpi_settings AS k ON k.sdk_app_id = p.settings_app_id
    LEFT JOIN kpi_satisfaction_keys AS m
        ON m.sdk_app_id = p.settings_app_id AND m.satisfaction_key = p.satisfaction_key
),

measured AS (
    SELECT
        t.*,
        CASE
            WHEN t.is_queued AND COALESCE(t.answered_second, t.ended_second) >= t.queued_second
                THEN COALESCE(t.answered_second, t.ended_second) - t.queued_second
        END AS queue_wait_seconds,
        -- The caller's next inbound call; an account's unknown callers are nobody.
        CASE
            WHEN t.is_inbound AND t.customer_number IS NOT NULL
                THEN LEAD(CAST(t.started_second AS BIGINT)) OVER (
                    PARTITION BY t.sdk_app_id, t.is_inbound, t.customer_number
                    ORDER BY t.started_second, t.session_id
                )
        END - COALESCE(t.ended_second, t.started_second) AS next_contact_seconds,
        CAST(FLOOR(EXTRACT(EPOCH FROM t.started_local)) AS BIGINT) AS started_local_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM t.queued_local)) AS BIGINT) AS queued_local_second,
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
