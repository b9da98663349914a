-- Hold and mute time of each session whose details were asked for (ENRICH__SESSION_DETAILS); others have no row.
-- A hold lasts until the agent's next StaffUnhold or StaffHold; without one, until the session ends. Seconds of several
-- agents are added up. talk_seconds holds hold time, so talk_without_hold_seconds is what was really spoken.
WITH steps AS (
    SELECT
        e.sdk_app_id AS sdk_app_id,
        e.session_id AS session_id,
        e.event_type AS event_type,
        e.occurred_at AS occurred_at,
        COALESCE(
            LEAD(CAST(e.occurred_at AS TIMESTAMP WITH TIME ZONE)) OVER (
                PARTITION BY
                    e.sdk_app_id,
                    e.session_id,
                    e.agent_mail,
                    CASE WHEN e.event_type IN ('StaffHold', 'StaffUnhold') THEN 'hold' ELSE 'mute' END
                ORDER BY e.event_sequence
            ),
            s.ended_at,
            d.session_ended_at
        ) AS lasted_to
    FROM agent_events AS e
    INNER JOIN session_details AS d
        ON d.sdk_app_id = e.sdk_app_id AND d.session_id = e.session_id AND e.event_sequence < d.event_count
    LEFT JOIN sessions AS s
        ON s.sdk_app_id = e.sdk_app_id AND s.session_id = e.session_id
    WHERE e.event_type IN ('StaffHold', 'StaffUnhold', 'StaffMute', 'StaffUnmute') AND e.occurred_at IS NOT NULL
),

lengths AS (
    SELECT
        sdk_app_id,
        session_id,
        event_type,
        CASE WHEN lasted_to > occurred_at THEN CAST(EXTRACT(EPOCH FROM (lasted_to - occurred_at)) AS BIGINT) ELSE 0 END
            AS seconds
    FROM steps
),

totals AS (
    SELECT
        sdk_app_id,
        session_id,
        COUNT(*) FILTER (WHERE event_type = 'StaffHold') AS hold_count,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE event_type = 'StaffHold'), 0) AS BIGINT) AS hold_seconds,
        COUNT(*) FILTER (WHERE event_type = 'StaffMute') AS mute_count,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE event_type = 'StaffMute'), 0) AS BIGINT) AS mute_seconds
    FROM lengths
    GROUP BY sdk_app_id, session_id
)

SELECT
    d.sdk_app_id AS sdk_app_id,
    d.session_id AS session_id,
    COALESCE(t.hold_count, 0) AS hold_count,
    COALESCE(t.hold_seconds, 0) AS hold_seconds,
    COALESCE(t.mute_count, 0) AS mute_count,
    COALESCE(t.mute_seconds, 0) AS mute_seconds,
    s.talk_seconds AS talk_seconds,
    CASE WHEN s.talk_seconds >= COALESCE(t.hold_seconds, 0) THEN s.talk_seconds - COALESCE(t.hold_seconds, 0) END
        AS talk_without_hold_seconds,
    s.agent_mail AS agent_mail,
    s.skill_group_id AS skill_group_id,
    s.started_at AS started_at,
    s.ended_at AS ended_at,
    d.asked_at AS asked_at
FROM session_details AS d
LEFT JOIN totals AS t
    ON t.sdk_app_id = d.sdk_app_id AND t.session_id = d.session_id
LEFT JOIN sessions AS s
    ON s.sdk_app_id = d.sdk_app_id AND s.session_id = d.session_id
WHERE d.is_known
