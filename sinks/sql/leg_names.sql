-- Every leg with the names that agent and skill group had when it began (ENRICH__DIRECTORY); what the CDR says is beside.
-- A call from before the directory knew somebody has NULL in the directory's columns.
WITH agent_states AS (
    SELECT
        a.*,
        -- The cast makes it one that may be NULL everywhere: the last state has no next.
        LEAD(CAST(a.valid_from AS TIMESTAMP WITH TIME ZONE)) OVER (
            PARTITION BY a.sdk_app_id, a.agent_mail ORDER BY a.valid_from
        ) AS next_from
    FROM agents AS a
),

group_states AS (
    SELECT
        g.*,
        -- The cast makes it one that may be NULL everywhere: the last state has no next.
        LEAD(CAST(g.valid_from AS TIMESTAMP WITH TIME ZONE)) OVER (
            PARTITION BY g.sdk_app_id, g.skill_group_id ORDER BY g.valid_from
        ) AS next_from
    FROM skill_groups AS g
)

SELECT
    l.sdk_app_id AS sdk_app_id,
    l.session_id AS session_id,
    l.leg_sequence AS leg_sequence,
    l.agent_mail AS agent_mail,
    a.agent_name AS agent_name,
    a.nick AS nick,
    a.staff_number AS staff_number,
    a.skill_group_ids AS agent_skill_group_ids,
    l.skill_group_id AS skill_group_id,
    COALESCE(g.skill_group_name, l.skill_group_name) AS skill_group_name,
    COALESCE(l.started_at, s.started_at) AS started_at
FROM legs AS l
INNER JOIN sessions AS s
    ON s.sdk_app_id = l.sdk_app_id AND s.session_id = l.session_id
LEFT JOIN agent_states AS a
    ON
        a.sdk_app_id = l.sdk_app_id
        AND a.agent_mail = l.agent_mail
        AND a.valid_from <= COALESCE(l.started_at, s.started_at)
        AND (a.valid_to IS NULL OR a.valid_to > COALESCE(l.started_at, s.started_at))
        AND (a.next_from IS NULL OR a.next_from > COALESCE(l.started_at, s.started_at))
LEFT JOIN group_states AS g
    ON
        g.sdk_app_id = l.sdk_app_id
        AND g.skill_group_id = l.skill_group_id
        AND g.valid_from <= COALESCE(l.started_at, s.started_at)
        AND (g.valid_to IS NULL OR g.valid_to > COALESCE(l.started_at, s.started_at))
        AND (g.next_from IS NULL OR g.next_from > COALESCE(l.started_at, s.started_at))
