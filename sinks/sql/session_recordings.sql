-- One row per recording, with what its session says: the join that analysts would make by hand.
-- Every column of recordings stands here under its own name; source, extra and leg_sequence are the recording's.
-- The agent is that of the leg which names the recording, where that leg names anybody, else the session's.
SELECT
    $recording_columns,
    COALESCE(r.custom_url, r.url) AS best_url,  -- the permanent address, else the one that TCCC keeps three months
    s.has_cdr AS has_cdr,
    s.direction AS direction,
    s.call_type AS call_type,
    s.caller AS caller,
    s.callee AS callee,
    s.customer_number AS customer_number,
    s.line_number AS line_number,
    CASE WHEN l.agent_mail IS NULL AND l.agent_phone IS NULL THEN s.agent_mail ELSE l.agent_mail END AS agent_mail,
    l.agent_phone AS agent_phone,
    -- Only the session's agent has a name, so it stands only beside that agent.
    CASE
        WHEN l.agent_mail = s.agent_mail OR (l.agent_mail IS NULL AND l.agent_phone IS NULL) THEN s.agent_name
    END AS agent_name,
    s.skill_group_id AS skill_group_id,
    s.skill_group_name AS skill_group_name,
    s.started_at AS started_at,
    s.queued_at AS queued_at,
    s.rang_at AS rang_at,
    s.answered_at AS answered_at,
    s.ended_at AS ended_at,
    s.talk_seconds AS talk_seconds,
    s.end_status AS end_status,
    s.hung_up_by AS hung_up_by,
    s.loaded_at AS loaded_at
FROM recordings AS r
INNER JOIN sessions AS s
    ON s.sdk_app_id = r.sdk_app_id AND s.session_id = r.session_id
LEFT JOIN legs AS l
    ON l.sdk_app_id = r.sdk_app_id AND l.session_id = r.session_id AND l.leg_sequence = r.leg_sequence
