-- The numbers of a day, by application and UTC day of the call's start; every formula stands beside its column.
-- Sessions without a start (their CDR has not come) belong to no day. A day changes while its reports still arrive:
-- as_of is the latest commit that it counts. Times have seconds, so comparisons are <=. Internal calls are nobody's KPI.
--   inbound   direction is inbound, call type is not internal
--   queued    inbound, and it entered a queue
--   handled   inbound, and the session or any of its legs was answered
--   outbound  direction is outbound, neither internal nor predictive (predictive calls have columns of their own)
WITH leg_totals AS (
    SELECT
        sdk_app_id,
        session_id,
        MIN(answered_at) AS first_answered_at,
        SUM(
            CASE
                WHEN ended_at >= answered_at THEN EXTRACT(EPOCH FROM (ended_at - answered_at))
            END
        ) AS talk_seconds
    FROM legs
    GROUP BY sdk_app_id, session_id
),

calls AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.queued_at AS queued_at,
        s.answered_at AS answered_at,
        s.wait_seconds AS wait_seconds,
        s.end_status AS end_status,
        s.recordings_expected AS recordings_expected,
        s.recordings_received AS recordings_received,
        s.recordings_missing AS recordings_missing,
        s.loaded_at AS loaded_at,
        CAST(s.started_at AT TIME ZONE 'UTC' AS DATE) AS day,
        s.direction = 'inbound' AND COALESCE(s.call_type, '') <> 'internal' AS is_inbound,
        s.direction = 'outbound'
        AND COALESCE(s.call_type, '') <> 'internal'
        AND COALESCE(s.call_type, '') <> 'predictive_outbound' AS is_outbound,
        s.direction = 'outbound' AND COALESCE(s.call_type, '') = 'predictive_outbound' AS is_predictive,
        COALESCE(s.answered_at, l.first_answered_at) IS NOT NULL AS is_answered,
        l.talk_seconds AS leg_talk_seconds
    FROM sessions AS s
    LEFT JOIN leg_totals AS l
        ON l.sdk_app_id = s.sdk_app_id AND l.session_id = s.session_id
    WHERE s.started_at IS NOT NULL
)

SELECT
    sdk_app_id,
    day,
    -- Offered: inbound contacts.
    COUNT(*) FILTER (WHERE is_inbound) AS offered,
    -- Queued: inbound contacts that entered a queue (Amazon Connect: contacts queued).
    COUNT(*) FILTER (WHERE is_inbound AND queued_at IS NOT NULL) AS queued,
    -- Answered: queued contacts that were handled.
    COUNT(*) FILTER (WHERE is_inbound AND queued_at IS NOT NULL AND is_answered) AS answered,
    -- Handled: inbound contacts that were answered, queued or not; the divisor of AHT.
    COUNT(*) FILTER (WHERE is_inbound AND is_answered) AS handled,
    -- Abandoned in queue: the customer gave up while waiting or while an agent's side rang.
    COUNT(*) FILTER (
        WHERE is_inbound AND queued_at IS NOT NULL AND end_status IN ('waitingGiveUp', 'ringingGiveUp')
    ) AS abandoned,
    -- Service level, Amazon Connect style: left the queue within 20 s (answered or not), of all queued.
    CAST(COUNT(*) FILTER (WHERE is_inbound AND queued_at IS NOT NULL AND wait_seconds <= 20) AS DOUBLE PRECISION)
    / NULLIF(COUNT(*) FILTER (WHERE is_inbound AND queued_at IS NOT NULL), 0) AS service_level_20s,
    -- ASA, average speed of answer: mean wait of the queued contacts that were answered.
    CAST(
        AVG(wait_seconds) FILTER (WHERE is_inbound AND queued_at IS NOT NULL AND answered_at IS NOT NULL)
        AS DOUBLE PRECISION
    ) AS asa_seconds,
    -- AHT without after-contact work: talk time of all legs (hold time is in it), of handled contacts.
    CAST(SUM(leg_talk_seconds) FILTER (WHERE is_inbound AND is_answered) AS DOUBLE PRECISION)
    / NULLIF(COUNT(*) FILTER (WHERE is_inbound AND is_answered), 0) AS aht_without_acw_seconds,
    -- Outbound calls and the share of them that the customer answered.
    COUNT(*) FILTER (WHERE is_outbound) AS outbound_calls,
    COUNT(*) FILTER (WHERE is_outbound AND answered_at IS NOT NULL) AS outbound_connected,
    CAST(COUNT(*) FILTER (WHERE is_outbound AND answered_at IS NOT NULL) AS DOUBLE PRECISION)
    / NULLIF(COUNT(*) FILTER (WHERE is_outbound), 0) AS outbound_connect_rate,
    COUNT(*) FILTER (WHERE is_predictive) AS predictive_calls,
    COUNT(*) FILTER (WHERE is_predictive AND answered_at IS NOT NULL) AS predictive_connected,
    -- Recordings: named by CDRs; come, named or not; named, not here and not known to be absent.
    CAST(SUM(calls.recordings_expected) AS BIGINT) AS recordings_expected,
    CAST(SUM(calls.recordings_received) AS BIGINT) AS recordings_received,
    CAST(SUM(calls.recordings_missing) AS BIGINT) AS recordings_missing,
    MAX(calls.loaded_at) AS as_of
FROM calls
GROUP BY sdk_app_id, day
