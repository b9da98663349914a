-- What each agent did on each UTC day, in seconds by status, and how much of the time at work was taken (occupancy).
-- A status lasts until the next change, at most to where the agent's history was read (agent_status_reads); what was
-- before the first change that is known is in no row. Needs ENRICH__AGENT_STATUS.
WITH digits AS (
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

numbers AS (
    SELECT ones.n + 10 * tens.n + 100 * hundreds.n AS n
    FROM digits AS ones
    CROSS JOIN digits AS tens
    CROSS JOIN digits AS hundreds
    WHERE hundreds.n < 2
),

spans AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.agent_mail AS agent_mail,
        c.status AS status,
        c.changed_at AS began_at,
        COALESCE(
            LEAD(CAST(c.changed_at AS TIMESTAMP WITH TIME ZONE)) OVER (
                PARTITION BY c.sdk_app_id, c.agent_mail ORDER BY c.changed_at, c.status_sequence
            ),
            r.read_to
        ) AS lasted_to,
        r.read_to AS read_to
    FROM agent_status AS c
    LEFT JOIN agent_status_reads AS r
        ON r.sdk_app_id = c.sdk_app_id AND r.agent_mail = c.agent_mail
),

days AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.agent_mail AS agent_mail,
        s.status AS status,
        s.read_to AS read_to,
        CAST(s.began_at AT TIME ZONE 'UTC' AS DATE) + d.n AS day,
        s.began_at AS began_at,
        s.lasted_to AS lasted_to
    FROM spans AS s
    INNER JOIN numbers AS d
        ON CAST(s.began_at AT TIME ZONE 'UTC' AS DATE) + d.n <= CAST(s.lasted_to AT TIME ZONE 'UTC' AS DATE)
    WHERE s.lasted_to > s.began_at
),

bounds AS (
    SELECT
        sdk_app_id,
        agent_mail,
        day,
        status,
        read_to,
        GREATEST(began_at, CAST(day AS TIMESTAMP) AT TIME ZONE 'UTC') AS began_that_day_at,
        LEAST(lasted_to, CAST(day + 1 AS TIMESTAMP) AT TIME ZONE 'UTC') AS lasted_that_day_to
    FROM days
),

parts AS (
    SELECT
        sdk_app_id,
        agent_mail,
        day,
        status,
        read_to,
        CAST(EXTRACT(EPOCH FROM (lasted_that_day_to - began_that_day_at)) AS BIGINT) AS seconds
    FROM bounds
),

totals AS (
    SELECT
        sdk_app_id,
        agent_mail,
        day,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE status = 'free'), 0) AS BIGINT) AS free_seconds,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE status = 'busy'), 0) AS BIGINT) AS busy_seconds,
        CAST(
            COALESCE(SUM(seconds) FILTER (WHERE status IN ('afterCallWork', 'arrange')), 0) AS BIGINT
        ) AS after_call_work_seconds,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE status = 'rest'), 0) AS BIGINT) AS rest_seconds,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE status = 'notReady'), 0) AS BIGINT) AS not_ready_seconds,
        CAST(COALESCE(SUM(seconds) FILTER (WHERE status = 'offline'), 0) AS BIGINT) AS offline_seconds,
        MAX(read_to) AS known_to
    FROM parts
    GROUP BY sdk_app_id, agent_mail, day
)

SELECT
    t.sdk_app_id,
    t.agent_mail,
    t.day,
    t.free_seconds,
    t.busy_seconds,
    t.after_call_work_seconds,
    t.rest_seconds,
    t.not_ready_seconds,
    t.offline_seconds,
    -- Occupancy, Amazon Connect style: on contacts and their after-call work, of that and of waiting for one.
    CAST(t.busy_seconds + t.after_call_work_seconds AS DOUBLE PRECISION)
    / NULLIF(t.busy_seconds + t.after_call_work_seconds + t.free_seconds, 0) AS occupancy,
    t.known_to
FROM totals AS t
