{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- What each call counts for by itself: kpi_sessions without what its caller's next call tells, and cheaper.
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
    FROM {{ ref('kpi_settings') }} AS k
),

owned AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.session_id AS session_id,
        CASE WHEN s.sdk_app_id IN (SELECT ks.sdk_app_id FROM {{ ref('kpi_settings') }} AS ks) THEN s.sdk_app_id ELSE 0 END
            AS settings_app_id,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.started_at)) AS Nullable(Int64)) AS started_second,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.queued_at)) AS Nullable(Int64)) AS queued_second,
        CAST(FLOOR(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), s.started_at)) / 604800) AS Nullable(Int64)) AS week,
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
    FROM {{ source('callweave', 'sessions') }} AS s
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
    SELECT CAST(1565 + a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS Nullable(Int64)) AS week
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
        toDateTime64(w.week * 604800, 6, 'UTC') AS began,
        toDateTime64(w.week * 604800 + 604800, 6, 'UTC') AS ended
    FROM week_numbers AS w
    CROSS JOIN (SELECT DISTINCT k.time_zone AS time_zone FROM {{ ref('kpi_settings') }} AS k) AS z
),

week_shifts AS (
    SELECT
        z.time_zone AS shift_zone,
        z.week AS shift_week,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), toDateTime64(toString(z.began, z.time_zone), 6, 'UTC'))) AS Nullable(Int64)) - z.week * 604800 AS shift_first,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), toDateTime64(toString(z.ended, z.time_zone), 6, 'UTC'))) AS Nullable(Int64))
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
        CASE WHEN z.shift_week = o.week THEN o.started_second + z.shift ELSE CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), toDateTime64(toString(o.started_at, o.time_zone), 6, 'UTC'))) AS Nullable(Int64)) END AS started_local_second,
        CASE WHEN z.shift_week = o.week AND o.queued_second - o.queued_second % 604800 = o.week * 604800 THEN o.queued_second + z.shift ELSE CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), toDateTime64(toString(o.queued_at, o.time_zone), 6, 'UTC'))) AS Nullable(Int64)) END AS queued_local_second
    FROM ruled AS o
    LEFT JOIN shifts AS z ON z.shift_zone = o.time_zone AND z.shift_week = o.week
),

dated AS (
    SELECT
        d.*,
        CAST('1970-01-01' AS Nullable(Date32)) + CAST(FLOOR(d.started_local_second / 86400) AS Nullable(Int32)) AS started_day,
        CAST('1970-01-01' AS Nullable(Date32)) + CAST(FLOOR(d.queued_local_second / 86400) AS Nullable(Int32)) AS queued_day
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
        CAST(l.legs_seconds AS Nullable(Int64)) AS talk_seconds,
        l.leg_sequence_max AS leg_sequence_max,
        COALESCE(l.transferred, 0) AS transferred,
        COALESCE(s.direction, '') = 'inbound' AND COALESCE(s.call_type, '') <> 'internal' AS is_inbound,
        COALESCE(s.direction, '') = 'outbound'
        AND COALESCE(s.call_type, '') NOT IN ('internal', 'predictive_outbound') AS is_outbound,
        COALESCE(s.direction, '') = 'outbound' AND COALESCE(s.call_type, '') = 'predictive_outbound' AS is_predictive,
        NULLIF(if(JSONType(ifNull(s.extra, ''), 'Duration') = 'String', JSONExtractString(ifNull(s.extra, ''), 'Duration'), JSONExtractRaw(ifNull(s.extra, ''), 'Duration')), '') AS tccc_duration,
        NULLIF(if(if(JSONType(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key') = 'String', JSONExtractString(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key'), JSONExtractRaw(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key')) = '', if(JSONType(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'key') = 'String', JSONExtractString(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'key'), JSONExtractRaw(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'key')), if(JSONType(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key') = 'String', JSONExtractString(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key'), JSONExtractRaw(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key'))), '') AS satisfaction_key,
        NULLIF(arrayStringConcat(arrayMap(pressed -> concat(if(if(JSONType(pressed, 'Key') = 'String', JSONExtractString(pressed, 'Key'), JSONExtractRaw(pressed, 'Key')) = '', if(JSONType(pressed, 'key') = 'String', JSONExtractString(pressed, 'key'), JSONExtractRaw(pressed, 'key')), if(JSONType(pressed, 'Key') = 'String', JSONExtractString(pressed, 'Key'), JSONExtractRaw(pressed, 'Key'))), if(if(if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label')) = '', if(JSONType(pressed, 'label') = 'String', JSONExtractString(pressed, 'label'), JSONExtractRaw(pressed, 'label')), if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label'))) = '', '', concat(':', if(if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label')) = '', if(JSONType(pressed, 'label') = 'String', JSONExtractString(pressed, 'label'), JSONExtractRaw(pressed, 'label')), if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label')))))), JSONExtractArrayRaw(ifNull(s.extra, ''), 'IVRKeyPressedEx')), '>'), '') AS ivr_path
    FROM dated AS s
    LEFT JOIN  (
        SELECT
            l.sdk_app_id AS leg_app_id,
            l.session_id AS leg_session_id,
            MIN(l.rang_at) AS first_rang_at,
            MIN(l.answered_at) AS leg_answered_at,
            SUM(
                CASE
                    WHEN l.ended_at >= l.answered_at
                        THEN FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.ended_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.answered_at))
                END
            ) AS legs_seconds,
            CAST(MAX(l.leg_sequence) AS Nullable(Int64)) AS leg_sequence_max,
            MAX(
                CASE
                    WHEN COALESCE(l.transfer_to, '') <> '' OR COALESCE(l.end_status, '') = 'seatForward' THEN 1
                    ELSE 0
                END
            ) AS transferred
        FROM {{ source('callweave', 'legs') }} AS l
        
        GROUP BY l.sdk_app_id, l.session_id
    ) AS l ON l.leg_app_id = s.sdk_app_id AND l.leg_session_id = s.session_id
),

scores AS (
    SELECT
        k.sdk_app_id AS scores_app_id,
        k.satisfaction_key AS scored_key,
        k.score AS score
    FROM {{ ref('kpi_satisfaction_keys') }} AS k
),

timed AS (
    SELECT
        p.*,
        -- Not m.score alone: where there is none, ClickHouse may say 0.
        CASE WHEN m.scored_key = p.satisfaction_key THEN m.score END AS satisfaction_score,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), p.first_rang_at)) AS Nullable(Int64)) AS rang_second,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), p.first_answered_at)) AS Nullable(Int64)) AS answered_second,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), p.ended_at)) AS Nullable(Int64)) AS ended_second,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), now64(6, 'UTC'))) AS Nullable(Int64)) AS now_second,
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

SELECT
    j.sdk_app_id AS sdk_app_id,
    j.session_id AS session_id,
    j.time_zone AS time_zone,
    j.direction AS direction,
    j.call_type AS call_type,
    j.skill_group_id AS skill_group_id,
    j.skill_group_name AS skill_group_name,
    j.line_number AS line_number,
    j.end_status AS end_status,
    j.hung_up_by AS hung_up_by,
    j.started_day AS day,
    CAST(FLOOR(j.started_local_second % 86400 / 3600) AS Nullable(Int64)) AS local_hour,
    toDateTime64(j.started_second - j.started_local_second % 3600, 6, 'UTC') AS hour,
    j.queued_day AS queued_day,
    CAST(FLOOR(j.queued_local_second % 86400 / 3600) AS Nullable(Int64)) AS queued_local_hour,
    toDateTime64(j.queued_second - j.queued_local_second % 3600, 6, 'UTC') AS queued_hour,
    j.started_at AS started_at,
    j.queued_at AS queued_at,
    j.first_answered_at AS first_answered_at,
    j.ended_at AS ended_at,
    CAST(j.is_inbound AS Nullable(Bool)) AS is_inbound,
    CAST(j.is_outbound AS Nullable(Bool)) AS is_outbound,
    CAST(j.is_predictive AS Nullable(Bool)) AS is_predictive,
    CAST(j.is_queued AS Nullable(Bool)) AS is_queued,
    CAST(j.is_handled AS Nullable(Bool)) AS is_handled,
    CAST(j.is_answered AS Nullable(Bool)) AS is_answered,
    CAST(j.is_abandoned AS Nullable(Bool)) AS is_abandoned,
    CAST(j.is_short_abandoned AS Nullable(Bool)) AS is_short_abandoned,
    CAST(j.is_flow_out AS Nullable(Bool)) AS is_flow_out,
    CAST(COALESCE(j.queue_wait_seconds <= j.target_seconds, FALSE) AS Nullable(Bool)) AS left_queue_in_target,
    CAST(j.is_answered AND COALESCE(j.queue_wait_seconds <= j.target_seconds, FALSE) AS Nullable(Bool)) AS is_answered_in_target,
    CAST(j.is_answered OR (j.genesys_adds_flow_outs AND j.is_flow_out) OR (j.is_abandoned AND NOT j.genesys_drops_abandons AND NOT (j.genesys_drops_short_abandons AND j.is_short_abandoned)) AS Nullable(Bool)) AS counts_for_genesys,
    CAST(j.first_answered_at IS NOT NULL AS Nullable(Bool)) AS is_connected,
    CAST(j.has_leg_answer AS Nullable(Bool)) AS has_leg_answer,
    CAST(j.is_handled AND j.transferred = 1 AS Nullable(Bool)) AS is_transferred,
    CAST(j.is_ivr_contained AS Nullable(Bool)) AS is_ivr_contained,
    CAST(COALESCE(j.now_second - COALESCE(j.ended_second, j.started_second) <= j.fcr_seconds, TRUE) AS Nullable(Bool)) AS fcr_is_provisional,
    CAST(COALESCE(j.ended_second - j.answered_second < j.very_short_seconds, FALSE) AS Nullable(Bool)) AS is_very_short,
    CAST(COALESCE(SUBSTRING(j.open_quarters, CAST(1 + FLOOR((j.started_local_second + 3 * 86400) % 604800 / 900) AS Nullable(Int32)), 1) = '1', FALSE) AS Nullable(Bool)) AS in_business_hours,
    CAST(j.is_inbound AND COALESCE(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.answered_at)) <> FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.leg_answered_at)), FALSE) AS Nullable(Bool)) AS answer_mismatch,
    CAST(COALESCE(j.tccc_duration <> CAST(CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.ended_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.answered_at)) AS Nullable(Int64)) AS Nullable(String)), FALSE) AS Nullable(Bool)) AS duration_mismatch,
    CAST(COALESCE(j.now_second - j.ended_second <= j.provisional_seconds, TRUE) AS Nullable(Bool)) AS is_provisional,
    CAST(COALESCE(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.first_received_at)) - j.ended_second > j.late_seconds, FALSE) AS Nullable(Bool)) AS came_late,
    CAST(j.version % 1048576 > 1 + j.recordings_received + j.voicemail_count AS Nullable(Bool)) AS was_heard_again,
    j.queue_wait_seconds AS queue_wait_seconds,
    CASE WHEN j.is_answered THEN j.queue_wait_seconds END AS answer_wait_seconds,
    CASE WHEN j.is_abandoned THEN j.queue_wait_seconds END AS abandon_wait_seconds,
    CASE WHEN j.is_answered AND j.rang_second >= j.queued_second THEN j.rang_second - j.queued_second END AS answer_queue_seconds,
    CASE WHEN j.is_answered AND j.answered_second >= j.rang_second THEN j.answered_second - j.rang_second END AS answer_ring_seconds,
    CASE WHEN j.is_queued AND j.queued_second >= j.started_second THEN j.queued_second - j.started_second END AS ivr_before_queue_seconds,
    CASE WHEN j.is_inbound AND NOT j.is_queued AND NOT j.is_handled AND j.ended_second >= j.started_second THEN j.ended_second - j.started_second END AS ivr_only_seconds,
    j.talk_seconds AS talk_seconds,
    j.leg_sequence_max AS leg_sequence_max,
    j.satisfaction_key AS satisfaction_key,
    j.satisfaction_score AS satisfaction_score,
    j.ivr_path AS ivr_path,
    j.source AS source,
    j.recordings_received AS recordings_received,
    j.voicemail_count AS voicemail_count,
    CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.first_received_at)) AS Nullable(Int64)) - j.ended_second AS received_after_seconds,
    CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.loaded_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), j.last_received_at)) AS Nullable(Int64)) AS committed_after_seconds,
    j.first_received_at AS first_received_at,
    j.loaded_at AS loaded_at,
    CAST(1 AS Nullable(Int64)) AS definitions_version,
    j.customer_number AS customer_number,
    CAST(j.customer_number IS NOT NULL AS Nullable(Bool)) AS caller_is_known,
    j.contained_until_second AS contained_until_second,
    j.helped_until_second AS helped_until_second
FROM judged AS j
{%- else %}
-- What each call counts for by itself: kpi_sessions without what its caller's next call tells, and cheaper.
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
    FROM {{ ref('kpi_settings') }} AS k
),

owned AS (
    SELECT
        s.sdk_app_id AS sdk_app_id,
        s.session_id AS session_id,
        CASE WHEN s.sdk_app_id IN (SELECT ks.sdk_app_id FROM {{ ref('kpi_settings') }} AS ks) THEN s.sdk_app_id ELSE 0 END
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
    FROM {{ source('callweave', 'sessions') }} AS s
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
    CROSS JOIN (SELECT DISTINCT k.time_zone AS time_zone FROM {{ ref('kpi_settings') }} AS k) AS z
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
{%- if target.type == 'postgres' %}
        CAST(FLOOR(EXTRACT(EPOCH FROM (o.started_at AT TIME ZONE o.time_zone))) AS BIGINT) AS started_local_second,
        CAST(FLOOR(EXTRACT(EPOCH FROM (o.queued_at AT TIME ZONE o.time_zone))) AS BIGINT) AS queued_local_second
{%- else %}
        CASE WHEN z.shift_week = o.week THEN o.started_second + z.shift ELSE CAST(FLOOR(EXTRACT(EPOCH FROM (o.started_at AT TIME ZONE o.time_zone))) AS BIGINT) END AS started_local_second,
        CASE WHEN z.shift_week = o.week AND o.queued_second - o.queued_second % 604800 = o.week * 604800 THEN o.queued_second + z.shift ELSE CAST(FLOOR(EXTRACT(EPOCH FROM (o.queued_at AT TIME ZONE o.time_zone))) AS BIGINT) END AS queued_local_second
{%- endif %}
    FROM ruled AS o
{%- if target.type == 'postgres' %}
    
{%- else %}
    LEFT JOIN shifts AS z ON z.shift_zone = o.time_zone AND z.shift_week = o.week
{%- endif %}
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
        s.extra ->> 'Duration' AS tccc_duration,
        NULLIF(COALESCE((s.extra -> 'PostIVRKeyPressed' -> -1) ->> 'Key', (s.extra -> 'PostIVRKeyPressed' -> -1) ->> 'key', ''), '') AS satisfaction_key,
{%- if target.type == 'postgres' %}
        (SELECT NULLIF(STRING_AGG(COALESCE(pressed.value ->> 'Key', pressed.value ->> 'key', '') || CASE WHEN COALESCE(pressed.value ->> 'Label', pressed.value ->> 'label', '') = '' THEN '' ELSE ':' || COALESCE(pressed.value ->> 'Label', pressed.value ->> 'label', '') END, '>' ORDER BY pressed.place), '') FROM JSONB_ARRAY_ELEMENTS(CASE WHEN JSONB_TYPEOF(s.extra -> 'IVRKeyPressedEx') = 'array' THEN s.extra -> 'IVRKeyPressedEx' END) WITH ORDINALITY AS pressed (value, place)) AS ivr_path
{%- else %}
        NULLIF(ARRAY_TO_STRING([COALESCE(pressed ->> 'Key', pressed ->> 'key', '') || CASE WHEN COALESCE(pressed ->> 'Label', pressed ->> 'label', '') = '' THEN '' ELSE ':' || COALESCE(pressed ->> 'Label', pressed ->> 'label', '') END FOR pressed IN JSON_EXTRACT(s.extra, '$.IVRKeyPressedEx[*]')], '>'), '') AS ivr_path
{%- endif %}
    FROM dated AS s
    LEFT JOIN LATERAL (
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
        FROM {{ source('callweave', 'legs') }} AS l
        WHERE l.sdk_app_id = s.sdk_app_id AND l.session_id = s.session_id
        GROUP BY l.sdk_app_id, l.session_id
    ) AS l ON l.leg_app_id = s.sdk_app_id AND l.leg_session_id = s.session_id
),

scores AS (
    SELECT
        k.sdk_app_id AS scores_app_id,
        k.satisfaction_key AS scored_key,
        k.score AS score
    FROM {{ ref('kpi_satisfaction_keys') }} AS k
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

SELECT
    j.sdk_app_id AS sdk_app_id,
    j.session_id AS session_id,
    j.time_zone AS time_zone,
    j.direction AS direction,
    j.call_type AS call_type,
    j.skill_group_id AS skill_group_id,
    j.skill_group_name AS skill_group_name,
    j.line_number AS line_number,
    j.end_status AS end_status,
    j.hung_up_by AS hung_up_by,
    j.started_day AS day,
    CAST(FLOOR(j.started_local_second % 86400 / 3600) AS BIGINT) AS local_hour,
    TO_TIMESTAMP(j.started_second - j.started_local_second % 3600) AS hour,
    j.queued_day AS queued_day,
    CAST(FLOOR(j.queued_local_second % 86400 / 3600) AS BIGINT) AS queued_local_hour,
    TO_TIMESTAMP(j.queued_second - j.queued_local_second % 3600) AS queued_hour,
    j.started_at AS started_at,
    j.queued_at AS queued_at,
    j.first_answered_at AS first_answered_at,
    j.ended_at AS ended_at,
    CAST(j.is_inbound AS BOOLEAN) AS is_inbound,
    CAST(j.is_outbound AS BOOLEAN) AS is_outbound,
    CAST(j.is_predictive AS BOOLEAN) AS is_predictive,
    CAST(j.is_queued AS BOOLEAN) AS is_queued,
    CAST(j.is_handled AS BOOLEAN) AS is_handled,
    CAST(j.is_answered AS BOOLEAN) AS is_answered,
    CAST(j.is_abandoned AS BOOLEAN) AS is_abandoned,
    CAST(j.is_short_abandoned AS BOOLEAN) AS is_short_abandoned,
    CAST(j.is_flow_out AS BOOLEAN) AS is_flow_out,
    CAST(COALESCE(j.queue_wait_seconds <= j.target_seconds, FALSE) AS BOOLEAN) AS left_queue_in_target,
    CAST(j.is_answered AND COALESCE(j.queue_wait_seconds <= j.target_seconds, FALSE) AS BOOLEAN) AS is_answered_in_target,
    CAST(j.is_answered OR (j.genesys_adds_flow_outs AND j.is_flow_out) OR (j.is_abandoned AND NOT j.genesys_drops_abandons AND NOT (j.genesys_drops_short_abandons AND j.is_short_abandoned)) AS BOOLEAN) AS counts_for_genesys,
    CAST(j.first_answered_at IS NOT NULL AS BOOLEAN) AS is_connected,
    CAST(j.has_leg_answer AS BOOLEAN) AS has_leg_answer,
    CAST(j.is_handled AND j.transferred = 1 AS BOOLEAN) AS is_transferred,
    CAST(j.is_ivr_contained AS BOOLEAN) AS is_ivr_contained,
    CAST(COALESCE(j.now_second - COALESCE(j.ended_second, j.started_second) <= j.fcr_seconds, TRUE) AS BOOLEAN) AS fcr_is_provisional,
    CAST(COALESCE(j.ended_second - j.answered_second < j.very_short_seconds, FALSE) AS BOOLEAN) AS is_very_short,
    CAST(COALESCE(SUBSTRING(j.open_quarters, CAST(1 + FLOOR((j.started_local_second + 3 * 86400) % 604800 / 900) AS INTEGER), 1) = '1', FALSE) AS BOOLEAN) AS in_business_hours,
    CAST(j.is_inbound AND COALESCE(FLOOR(EXTRACT(EPOCH FROM j.answered_at)) <> FLOOR(EXTRACT(EPOCH FROM j.leg_answered_at)), FALSE) AS BOOLEAN) AS answer_mismatch,
    CAST(COALESCE(j.tccc_duration <> CAST(CAST(FLOOR(EXTRACT(EPOCH FROM j.ended_at)) - FLOOR(EXTRACT(EPOCH FROM j.answered_at)) AS BIGINT) AS TEXT), FALSE) AS BOOLEAN) AS duration_mismatch,
    CAST(COALESCE(j.now_second - j.ended_second <= j.provisional_seconds, TRUE) AS BOOLEAN) AS is_provisional,
    CAST(COALESCE(FLOOR(EXTRACT(EPOCH FROM j.first_received_at)) - j.ended_second > j.late_seconds, FALSE) AS BOOLEAN) AS came_late,
    CAST(j.version % 1048576 > 1 + j.recordings_received + j.voicemail_count AS BOOLEAN) AS was_heard_again,
    j.queue_wait_seconds AS queue_wait_seconds,
    CASE WHEN j.is_answered THEN j.queue_wait_seconds END AS answer_wait_seconds,
    CASE WHEN j.is_abandoned THEN j.queue_wait_seconds END AS abandon_wait_seconds,
    CASE WHEN j.is_answered AND j.rang_second >= j.queued_second THEN j.rang_second - j.queued_second END AS answer_queue_seconds,
    CASE WHEN j.is_answered AND j.answered_second >= j.rang_second THEN j.answered_second - j.rang_second END AS answer_ring_seconds,
    CASE WHEN j.is_queued AND j.queued_second >= j.started_second THEN j.queued_second - j.started_second END AS ivr_before_queue_seconds,
    CASE WHEN j.is_inbound AND NOT j.is_queued AND NOT j.is_handled AND j.ended_second >= j.started_second THEN j.ended_second - j.started_second END AS ivr_only_seconds,
    j.talk_seconds AS talk_seconds,
    j.leg_sequence_max AS leg_sequence_max,
    j.satisfaction_key AS satisfaction_key,
    j.satisfaction_score AS satisfaction_score,
    j.ivr_path AS ivr_path,
    j.source AS source,
    j.recordings_received AS recordings_received,
    j.voicemail_count AS voicemail_count,
    CAST(FLOOR(EXTRACT(EPOCH FROM j.first_received_at)) AS BIGINT) - j.ended_second AS received_after_seconds,
    CAST(FLOOR(EXTRACT(EPOCH FROM j.loaded_at)) - FLOOR(EXTRACT(EPOCH FROM j.last_received_at)) AS BIGINT) AS committed_after_seconds,
    j.first_received_at AS first_received_at,
    j.loaded_at AS loaded_at,
    CAST(1 AS BIGINT) AS definitions_version,
    j.customer_number AS customer_number,
    CAST(j.customer_number IS NOT NULL AS BOOLEAN) AS caller_is_known,
    j.contained_until_second AS contained_until_second,
    j.helped_until_second AS helped_until_second
FROM judged AS j
{%- endif %}
