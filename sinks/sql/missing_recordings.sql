-- Recordings that a CDR names and that are overdue: not here, not known to be absent, and past the deadline.
-- The deadline is WAREHOUSE__RECORDING_DEADLINE_SECONDS, written in when the loader starts; it runs from the end of
-- the session, or from its last receipt where no end is known. The clock is that of the query.
SELECT
    $recording_columns,
    s.has_cdr AS has_cdr,
    s.direction AS direction,
    s.call_type AS call_type,
    s.caller AS caller,
    s.callee AS callee,
    s.customer_number AS customer_number,
    s.line_number AS line_number,
    CASE WHEN l.agent_mail IS NULL AND l.agent_phone IS NULL THEN s.agent_mail ELSE l.agent_mail END AS agent_mail,
    l.agent_phone AS agent_phone,
    CASE
        WHEN l.agent_mail = s.agent_mail OR (l.agent_mail IS NULL AND l.agent_phone IS NULL) THEN s.agent_name
    END AS agent_name,
    s.skill_group_id AS skill_group_id,
    s.skill_group_name AS skill_group_name,
    s.started_at AS started_at,
    s.answered_at AS answered_at,
    s.ended_at AS ended_at,
    s.last_received_at AS last_received_at,
    s.end_status AS end_status,
    -- TCCC names recordings of unanswered calls too: those will hardly come. The customer's side is the session's.
    CAST((CASE WHEN r.leg_sequence IS NULL THEN s.answered_at ELSE l.answered_at END) IS NOT NULL AS BOOLEAN)
    AS leg_answered,
    CAST(EXTRACT(EPOCH FROM (NOW() - COALESCE(s.ended_at, s.last_received_at))) AS BIGINT) AS age_seconds,
    CAST(EXTRACT(EPOCH FROM (NOW() - COALESCE(s.ended_at, s.last_received_at))) AS BIGINT)
    - $recording_deadline_seconds AS overdue_seconds
FROM recordings AS r
INNER JOIN sessions AS s
    ON s.sdk_app_id = r.sdk_app_id AND s.session_id = r.session_id
LEFT JOIN legs AS l
    ON l.sdk_app_id = r.sdk_app_id AND l.session_id = r.session_id AND l.leg_sequence = r.leg_sequence
WHERE
    r.is_expected
    AND r.received_at IS NULL
    AND r.absent_at IS NULL
    AND COALESCE(s.ended_at, s.last_received_at) < NOW() - INTERVAL '$recording_deadline_seconds seconds'
