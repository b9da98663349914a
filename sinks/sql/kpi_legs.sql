-- Each leg with what its call counts for: what kpi_daily_agent and kpi_daily_transfer add up. A leg's day is that of its
-- first ring, else of its answer or its start.
WITH placed_legs AS (
    SELECT
        l.sdk_app_id AS sdk_app_id,
        l.session_id AS session_id,
        s.started_at AS started_at,
        s.skill_group_name AS skill_group_name,
        s.hour AS call_hour,
        s.day AS call_day,
        s.time_zone AS time_zone,
        COALESCE(l.agent_mail, l.agent_phone) AS agent,
        l.transfer_to_type AS transfer_to_type,
        COALESCE(l.rang_at, l.answered_at, l.started_at, s.started_at) AS leg_began_at,
        l.ended_at AS leg_ended_at,
        s.is_inbound AS is_inbound,
        s.is_outbound OR s.is_predictive AS is_outbound,
        s.is_inbound OR s.is_outbound OR s.is_predictive AS is_leg,
        s.is_connected AS is_connected,
        s.is_inbound AND l.rang_at IS NOT NULL AS is_routed,
        l.answered_at IS NOT NULL AS is_leg_answered,
        l.answered_at IS NULL AND (
            COALESCE(l.end_status, '') = 'ringingGiveUp'
            OR (COALESCE(s.end_status, '') = 'ringingGiveUp' AND l.leg_sequence = s.leg_sequence_max)
        ) AS customer_gave_up,
        s.is_inbound AND l.answered_at IS NOT NULL
        AND (COALESCE(l.transfer_to, '') <> '' OR COALESCE(l.end_status, '') = 'seatForward') AS is_passed_on,
        s.is_inbound AND l.answered_at IS NOT NULL AND COALESCE(l.transfer_from, '') <> '' AS is_taken_over,
        s.is_inbound AND l.answered_at IS NOT NULL
        AND COALESCE(s.hung_up_by, '') = 'seat' AND l.leg_sequence = s.leg_sequence_max AS is_hung_up,
        CASE
            WHEN l.answered_at >= l.rang_at
                THEN CAST(FLOOR(EXTRACT(EPOCH FROM l.answered_at)) - FLOOR(EXTRACT(EPOCH FROM l.rang_at)) AS BIGINT)
        END AS leg_ring_seconds,
        CASE
            WHEN s.is_inbound AND l.ended_at >= l.answered_at
                THEN CAST(FLOOR(EXTRACT(EPOCH FROM l.ended_at)) - FLOOR(EXTRACT(EPOCH FROM l.answered_at)) AS BIGINT)
            WHEN NOT s.is_inbound AND l.ended_at >= GREATEST(l.answered_at, s.first_answered_at)
                AND l.answered_at IS NOT NULL AND s.first_answered_at IS NOT NULL
                THEN CAST(
                    FLOOR(EXTRACT(EPOCH FROM l.ended_at))
                    - FLOOR(EXTRACT(EPOCH FROM GREATEST(l.answered_at, s.first_answered_at)))
                    AS BIGINT
                )
        END AS leg_talk_seconds,
        s.is_provisional AS is_provisional,
        s.loaded_at AS loaded_at
    FROM legs AS l
    INNER JOIN kpi_calls AS s ON s.sdk_app_id = l.sdk_app_id AND s.session_id = l.session_id
),

rows_counted AS (
    SELECT
        p.*,
        -- Asking the zone is dear; within an hour of its clock the day is one.
        CASE
            WHEN p.leg_began_at >= p.call_hour AND p.leg_began_at < p.call_hour + INTERVAL '1 hour' THEN p.call_day
            ELSE CAST((p.leg_began_at AT TIME ZONE p.time_zone) AS DATE)
        END AS day
    FROM placed_legs AS p
    WHERE p.is_leg AND p.leg_began_at IS NOT NULL
),
