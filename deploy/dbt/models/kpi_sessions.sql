{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- What each call counts for: the flags and seconds that the other numbers add up, one row a session with a CDR.
-- What kpi_calls says of each call, and whether its caller came back; only for that all calls are looked at.
WITH next_contacts AS (
    -- The caller's next inbound call; an account's unknown callers are nobody.
    SELECT
        c.sdk_app_id AS contact_app_id,
        c.session_id AS contact_session_id,
        LEAD(CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), c.started_at)) AS Nullable(Int64))) OVER (
            PARTITION BY c.sdk_app_id, c.customer_number
            ORDER BY FLOOR(dateDiff('second', toDateTime(0, 'UTC'), c.started_at)), c.session_id
        ) AS next_second
    FROM {{ source('callweave', 'sessions') }} AS c
    WHERE
        c.has_cdr
        AND c.direction = 'inbound'
        AND COALESCE(c.call_type, '') <> 'internal'
        AND c.customer_number IS NOT NULL
),

returned AS (
    SELECT
        c.*,
        CASE WHEN n.contact_session_id = c.session_id THEN n.next_second END AS next_second
    FROM {{ ref('kpi_calls') }} AS c
    LEFT JOIN next_contacts AS n ON n.contact_app_id = c.sdk_app_id AND n.contact_session_id = c.session_id
)

SELECT
    c.sdk_app_id AS sdk_app_id,
    c.session_id AS session_id,
    c.time_zone AS time_zone,
    c.direction AS direction,
    c.call_type AS call_type,
    c.skill_group_id AS skill_group_id,
    c.skill_group_name AS skill_group_name,
    c.line_number AS line_number,
    c.end_status AS end_status,
    c.hung_up_by AS hung_up_by,
    c.day AS day,
    c.local_hour AS local_hour,
    c.hour AS hour,
    c.queued_day AS queued_day,
    c.queued_local_hour AS queued_local_hour,
    c.queued_hour AS queued_hour,
    c.started_at AS started_at,
    c.queued_at AS queued_at,
    c.first_answered_at AS first_answered_at,
    c.ended_at AS ended_at,
    c.is_inbound AS is_inbound,
    c.is_outbound AS is_outbound,
    c.is_predictive AS is_predictive,
    c.is_queued AS is_queued,
    c.is_handled AS is_handled,
    c.is_answered AS is_answered,
    c.is_abandoned AS is_abandoned,
    c.is_short_abandoned AS is_short_abandoned,
    c.is_flow_out AS is_flow_out,
    c.left_queue_in_target AS left_queue_in_target,
    c.is_answered_in_target AS is_answered_in_target,
    c.counts_for_genesys AS counts_for_genesys,
    c.is_connected AS is_connected,
    c.has_leg_answer AS has_leg_answer,
    c.is_transferred AS is_transferred,
    c.is_ivr_contained AS is_ivr_contained,
    CAST(COALESCE(c.next_second <= c.contained_until_second, FALSE) AS Nullable(Bool)) AS is_back_soon,
    CAST(CASE WHEN c.is_handled AND c.caller_is_known THEN COALESCE(c.next_second > c.helped_until_second, TRUE) END AS Nullable(Bool)) AS is_helped_once,
    c.fcr_is_provisional AS fcr_is_provisional,
    c.is_very_short AS is_very_short,
    c.in_business_hours AS in_business_hours,
    c.answer_mismatch AS answer_mismatch,
    c.duration_mismatch AS duration_mismatch,
    c.is_provisional AS is_provisional,
    c.came_late AS came_late,
    c.was_heard_again AS was_heard_again,
    c.queue_wait_seconds AS queue_wait_seconds,
    c.answer_wait_seconds AS answer_wait_seconds,
    c.abandon_wait_seconds AS abandon_wait_seconds,
    c.answer_queue_seconds AS answer_queue_seconds,
    c.answer_ring_seconds AS answer_ring_seconds,
    c.ivr_before_queue_seconds AS ivr_before_queue_seconds,
    c.ivr_only_seconds AS ivr_only_seconds,
    c.talk_seconds AS talk_seconds,
    c.leg_sequence_max AS leg_sequence_max,
    c.satisfaction_key AS satisfaction_key,
    c.satisfaction_score AS satisfaction_score,
    c.ivr_path AS ivr_path,
    c.source AS source,
    c.recordings_received AS recordings_received,
    c.voicemail_count AS voicemail_count,
    c.received_after_seconds AS received_after_seconds,
    c.committed_after_seconds AS committed_after_seconds,
    c.first_received_at AS first_received_at,
    c.loaded_at AS loaded_at,
    c.definitions_version AS definitions_version
FROM returned AS c
{%- else %}
-- What each call counts for: the flags and seconds that the other numbers add up, one row a session with a CDR.
-- What kpi_calls says of each call, and whether its caller came back; only for that all calls are looked at.
WITH next_contacts AS (
    -- The caller's next inbound call; an account's unknown callers are nobody.
    SELECT
        c.sdk_app_id AS contact_app_id,
        c.session_id AS contact_session_id,
        LEAD(CAST(FLOOR(EXTRACT(EPOCH FROM c.started_at)) AS BIGINT)) OVER (
            PARTITION BY c.sdk_app_id, c.customer_number
            ORDER BY FLOOR(EXTRACT(EPOCH FROM c.started_at)), c.session_id
        ) AS next_second
    FROM {{ source('callweave', 'sessions') }} AS c
    WHERE
        c.has_cdr
        AND c.direction = 'inbound'
        AND COALESCE(c.call_type, '') <> 'internal'
        AND c.customer_number IS NOT NULL
),

returned AS (
    SELECT
        c.*,
{%- if target.type == 'postgres' %}
        n.next_second AS next_second
{%- else %}
        CASE WHEN n.contact_session_id = c.session_id THEN n.next_second END AS next_second
{%- endif %}
    FROM {{ ref('kpi_calls') }} AS c
{%- if target.type == 'postgres' %}
    LEFT JOIN LATERAL (
        SELECT CAST(FLOOR(EXTRACT(EPOCH FROM a.started_at)) AS BIGINT) AS next_second
        FROM {{ source('callweave', 'sessions') }} AS a
        WHERE
            c.is_inbound
            AND a.sdk_app_id = c.sdk_app_id
            AND a.customer_number = c.customer_number
            AND a.started_at >= TO_TIMESTAMP(FLOOR(EXTRACT(EPOCH FROM c.started_at)))
            AND (FLOOR(EXTRACT(EPOCH FROM a.started_at)), a.session_id)
            > (FLOOR(EXTRACT(EPOCH FROM c.started_at)), c.session_id)
            AND a.has_cdr
            AND a.direction = 'inbound'
            AND COALESCE(a.call_type, '') <> 'internal'
        ORDER BY a.started_at
        LIMIT 1
    ) AS n ON TRUE
{%- else %}
    LEFT JOIN next_contacts AS n ON n.contact_app_id = c.sdk_app_id AND n.contact_session_id = c.session_id
{%- endif %}
)

SELECT
    c.sdk_app_id AS sdk_app_id,
    c.session_id AS session_id,
    c.time_zone AS time_zone,
    c.direction AS direction,
    c.call_type AS call_type,
    c.skill_group_id AS skill_group_id,
    c.skill_group_name AS skill_group_name,
    c.line_number AS line_number,
    c.end_status AS end_status,
    c.hung_up_by AS hung_up_by,
    c.day AS day,
    c.local_hour AS local_hour,
    c.hour AS hour,
    c.queued_day AS queued_day,
    c.queued_local_hour AS queued_local_hour,
    c.queued_hour AS queued_hour,
    c.started_at AS started_at,
    c.queued_at AS queued_at,
    c.first_answered_at AS first_answered_at,
    c.ended_at AS ended_at,
    c.is_inbound AS is_inbound,
    c.is_outbound AS is_outbound,
    c.is_predictive AS is_predictive,
    c.is_queued AS is_queued,
    c.is_handled AS is_handled,
    c.is_answered AS is_answered,
    c.is_abandoned AS is_abandoned,
    c.is_short_abandoned AS is_short_abandoned,
    c.is_flow_out AS is_flow_out,
    c.left_queue_in_target AS left_queue_in_target,
    c.is_answered_in_target AS is_answered_in_target,
    c.counts_for_genesys AS counts_for_genesys,
    c.is_connected AS is_connected,
    c.has_leg_answer AS has_leg_answer,
    c.is_transferred AS is_transferred,
    c.is_ivr_contained AS is_ivr_contained,
    CAST(COALESCE(c.next_second <= c.contained_until_second, FALSE) AS BOOLEAN) AS is_back_soon,
    CAST(CASE WHEN c.is_handled AND c.caller_is_known THEN COALESCE(c.next_second > c.helped_until_second, TRUE) END AS BOOLEAN) AS is_helped_once,
    c.fcr_is_provisional AS fcr_is_provisional,
    c.is_very_short AS is_very_short,
    c.in_business_hours AS in_business_hours,
    c.answer_mismatch AS answer_mismatch,
    c.duration_mismatch AS duration_mismatch,
    c.is_provisional AS is_provisional,
    c.came_late AS came_late,
    c.was_heard_again AS was_heard_again,
    c.queue_wait_seconds AS queue_wait_seconds,
    c.answer_wait_seconds AS answer_wait_seconds,
    c.abandon_wait_seconds AS abandon_wait_seconds,
    c.answer_queue_seconds AS answer_queue_seconds,
    c.answer_ring_seconds AS answer_ring_seconds,
    c.ivr_before_queue_seconds AS ivr_before_queue_seconds,
    c.ivr_only_seconds AS ivr_only_seconds,
    c.talk_seconds AS talk_seconds,
    c.leg_sequence_max AS leg_sequence_max,
    c.satisfaction_key AS satisfaction_key,
    c.satisfaction_score AS satisfaction_score,
    c.ivr_path AS ivr_path,
    c.source AS source,
    c.recordings_received AS recordings_received,
    c.voicemail_count AS voicemail_count,
    c.received_after_seconds AS received_after_seconds,
    c.committed_after_seconds AS committed_after_seconds,
    c.first_received_at AS first_received_at,
    c.loaded_at AS loaded_at,
    c.definitions_version AS definitions_version
FROM returned AS c
{%- endif %}
