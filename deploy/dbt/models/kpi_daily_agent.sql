{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- The numbers of each day by agent, from the legs of calls.
-- The clock is the leg's first ring, else its answer or start. Numerators and denominators stand beside each ratio, to be added up over more rows.
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
                THEN CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.answered_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.rang_at)) AS Nullable(Int64))
        END AS leg_ring_seconds,
        CASE
            WHEN s.is_inbound AND l.ended_at >= l.answered_at
                THEN CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.ended_at)) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.answered_at)) AS Nullable(Int64))
            WHEN NOT s.is_inbound AND l.ended_at >= GREATEST(l.answered_at, s.first_answered_at)
                AND l.answered_at IS NOT NULL AND s.first_answered_at IS NOT NULL
                THEN CAST(
                    FLOOR(dateDiff('second', toDateTime(0, 'UTC'), l.ended_at))
                    - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), GREATEST(l.answered_at, s.first_answered_at)))
                    AS Nullable(Int64)
                )
        END AS leg_talk_seconds,
        s.is_provisional AS is_provisional,
        s.loaded_at AS loaded_at
    FROM {{ source('callweave', 'legs') }} AS l
    INNER JOIN {{ ref('kpi_calls') }} AS s ON s.sdk_app_id = l.sdk_app_id AND s.session_id = l.session_id
),

rows_counted AS (
    SELECT
        p.*,
        -- Asking the zone is dear; within an hour of its clock the day is one.
        CASE
            WHEN p.leg_began_at >= p.call_hour AND p.leg_began_at < p.call_hour + INTERVAL '1 hour' THEN p.call_day
            ELSE CAST(toDateTime64(toString(p.leg_began_at, p.time_zone), 6, 'UTC') AS Nullable(Date32))
        END AS day
    FROM placed_legs AS p
    WHERE p.is_leg AND p.leg_began_at IS NOT NULL
),

numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        k.agent AS agent,
        MIN(k.leg_began_at) AS first_rang_at,
        MAX(k.leg_ended_at) AS last_ended_at,
        CAST(COUNT(*) FILTER (WHERE k.is_leg) AS Nullable(Int64)) AS leg_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed) AS Nullable(Int64)) AS routed_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed AND k.is_leg_answered) AS Nullable(Int64)) AS leg_answered_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed AND k.customer_gave_up) AS Nullable(Int64)) AS customer_gave_up_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed AND NOT k.is_leg_answered AND NOT k.customer_gave_up) AS Nullable(Int64)) AS ring_no_answer_count,
        CAST(COALESCE(SUM(k.leg_ring_seconds) FILTER (WHERE k.is_routed), 0) AS Nullable(Int64)) AS leg_ring_seconds_sum,
        CAST(COALESCE(SUM(k.leg_talk_seconds) FILTER (WHERE k.is_inbound), 0) AS Nullable(Int64)) AS inbound_talk_seconds_sum,
        CAST(COUNT(*) FILTER (WHERE k.is_inbound AND k.is_leg_answered) AS Nullable(Int64)) AS inbound_leg_answered_count,
        CAST(COUNT(*) FILTER (WHERE k.is_outbound) AS Nullable(Int64)) AS outbound_leg_count,
        CAST(COUNT(*) FILTER (WHERE k.is_outbound AND k.is_connected AND k.is_leg_answered) AS Nullable(Int64)) AS outbound_leg_connected_count,
        CAST(COALESCE(SUM(k.leg_talk_seconds) FILTER (WHERE k.is_outbound), 0) AS Nullable(Int64)) AS outbound_talk_seconds_sum,
        CAST(COUNT(*) FILTER (WHERE k.is_passed_on) AS Nullable(Int64)) AS transferred_out_count,
        CAST(COUNT(*) FILTER (WHERE k.is_taken_over) AS Nullable(Int64)) AS transferred_in_count,
        CAST(COUNT(*) FILTER (WHERE k.is_hung_up) AS Nullable(Int64)) AS leg_hung_up_count,
        CAST(COALESCE(SUM(k.leg_talk_seconds) FILTER (WHERE k.is_leg), 0) AS Nullable(Int64)) AS all_talk_seconds_sum,
        CAST(FLOOR(dateDiff('second', toDateTime(0, 'UTC'), MAX(k.leg_ended_at))) - FLOOR(dateDiff('second', toDateTime(0, 'UTC'), MIN(k.leg_began_at))) AS Nullable(Int64)) AS shift_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_provisional) AS Nullable(Int64)) AS leg_provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM rows_counted AS k
    WHERE k.day IS NOT NULL
    GROUP BY k.sdk_app_id, k.time_zone, k.day, k.agent
),

hours AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.asked_at AS asked_at,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled,
        c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing AS here,
        c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected AS due,
        CASE WHEN c.sdk_app_id IN (SELECT ks.sdk_app_id FROM {{ ref('kpi_settings') }} AS ks) THEN c.sdk_app_id ELSE 0 END
            AS settings_app_id
    FROM {{ source('callweave', 'completeness') }} AS c
),

known AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        CAST(toDateTime64(toString(h.hour, z.time_zone), 6, 'UTC') AS Nullable(Date32)) AS day,
        SUM(h.here) AS here,
        SUM(h.due) AS due,
        MIN(h.settled) AS settled
    FROM hours AS h
    INNER JOIN {{ ref('kpi_settings') }} AS z ON z.sdk_app_id = h.settings_app_id
    GROUP BY h.sdk_app_id, CAST(toDateTime64(toString(h.hour, z.time_zone), 6, 'UTC') AS Nullable(Date32))
    HAVING COUNT(h.asked_at) > 0
),

beside AS (
    SELECT
        n.sdk_app_id AS sdk_app_id,
        n.time_zone AS time_zone,
        n.day AS day,
        n.agent AS agent,
        n.first_rang_at AS first_rang_at,
        n.last_ended_at AS last_ended_at,
        n.leg_count AS leg_count,
        n.routed_count AS routed_count,
        n.leg_answered_count AS leg_answered_count,
        n.customer_gave_up_count AS customer_gave_up_count,
        n.ring_no_answer_count AS ring_no_answer_count,
        n.leg_ring_seconds_sum AS leg_ring_seconds_sum,
        n.inbound_talk_seconds_sum AS inbound_talk_seconds_sum,
        n.inbound_leg_answered_count AS inbound_leg_answered_count,
        n.outbound_leg_count AS outbound_leg_count,
        n.outbound_leg_connected_count AS outbound_leg_connected_count,
        n.outbound_talk_seconds_sum AS outbound_talk_seconds_sum,
        n.transferred_out_count AS transferred_out_count,
        n.transferred_in_count AS transferred_in_count,
        n.leg_hung_up_count AS leg_hung_up_count,
        n.all_talk_seconds_sum AS all_talk_seconds_sum,
        n.shift_seconds AS shift_seconds,
        n.leg_provisional_count AS leg_provisional_count,
        n.as_of AS as_of,
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM numbers AS n
    LEFT JOIN known AS w ON w.sdk_app_id = n.sdk_app_id AND w.day = n.day
)

-- From one table, because ClickHouse takes a view's columns for what a join makes of them.
SELECT
    n.sdk_app_id AS sdk_app_id,
    n.time_zone AS time_zone,
    n.day AS day,
    n.agent AS agent,
    n.first_rang_at AS first_rang_at,
    n.last_ended_at AS last_ended_at,
    n.leg_count AS leg_count,
    n.routed_count AS routed_count,
    n.leg_answered_count AS leg_answered_count,
    CAST(n.leg_answered_count AS Nullable(Float64)) / NULLIF(n.routed_count, 0) AS agent_answer_rate,
    n.customer_gave_up_count AS customer_gave_up_count,
    n.ring_no_answer_count AS ring_no_answer_count,
    CAST(n.ring_no_answer_count AS Nullable(Float64)) / NULLIF(n.routed_count, 0) AS ring_no_answer_rate,
    n.leg_ring_seconds_sum AS leg_ring_seconds_sum,
    CAST(n.leg_ring_seconds_sum AS Nullable(Float64)) / NULLIF(n.leg_answered_count, 0) AS mean_ring_seconds,
    n.inbound_talk_seconds_sum AS inbound_talk_seconds_sum,
    n.inbound_leg_answered_count AS inbound_leg_answered_count,
    CAST(n.inbound_talk_seconds_sum AS Nullable(Float64)) / NULLIF(n.inbound_leg_answered_count, 0) AS leg_aht_without_acw_seconds,
    n.outbound_leg_count AS outbound_leg_count,
    n.outbound_leg_connected_count AS outbound_leg_connected_count,
    n.outbound_talk_seconds_sum AS outbound_talk_seconds_sum,
    n.transferred_out_count AS transferred_out_count,
    n.transferred_in_count AS transferred_in_count,
    CAST(n.transferred_out_count AS Nullable(Float64)) / NULLIF(n.inbound_leg_answered_count, 0) AS leg_transfer_rate,
    n.leg_hung_up_count AS leg_hung_up_count,
    CAST(n.leg_hung_up_count AS Nullable(Float64)) / NULLIF(n.inbound_leg_answered_count, 0) AS leg_hang_up_rate,
    n.all_talk_seconds_sum AS all_talk_seconds_sum,
    n.shift_seconds AS shift_seconds,
    CAST(n.all_talk_seconds_sum AS Nullable(Float64)) / NULLIF(n.shift_seconds, 0) AS talk_share_proxy,
    n.leg_provisional_count AS leg_provisional_count,
    CAST(n.leg_provisional_count AS Nullable(Float64)) / NULLIF(n.leg_count, 0) AS leg_provisional_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- The numbers of each day by agent, from the legs of calls.
-- The clock is the leg's first ring, else its answer or start. Numerators and denominators stand beside each ratio, to be added up over more rows.
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
    FROM {{ source('callweave', 'legs') }} AS l
    INNER JOIN {{ ref('kpi_calls') }} AS s ON s.sdk_app_id = l.sdk_app_id AND s.session_id = l.session_id
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

numbers AS (
    SELECT
        k.sdk_app_id AS sdk_app_id,
        k.time_zone AS time_zone,
        k.day AS day,
        k.agent AS agent,
        MIN(k.leg_began_at) AS first_rang_at,
        MAX(k.leg_ended_at) AS last_ended_at,
        CAST(COUNT(*) FILTER (WHERE k.is_leg) AS BIGINT) AS leg_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed) AS BIGINT) AS routed_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed AND k.is_leg_answered) AS BIGINT) AS leg_answered_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed AND k.customer_gave_up) AS BIGINT) AS customer_gave_up_count,
        CAST(COUNT(*) FILTER (WHERE k.is_routed AND NOT k.is_leg_answered AND NOT k.customer_gave_up) AS BIGINT) AS ring_no_answer_count,
        CAST(COALESCE(SUM(k.leg_ring_seconds) FILTER (WHERE k.is_routed), 0) AS BIGINT) AS leg_ring_seconds_sum,
        CAST(COALESCE(SUM(k.leg_talk_seconds) FILTER (WHERE k.is_inbound), 0) AS BIGINT) AS inbound_talk_seconds_sum,
        CAST(COUNT(*) FILTER (WHERE k.is_inbound AND k.is_leg_answered) AS BIGINT) AS inbound_leg_answered_count,
        CAST(COUNT(*) FILTER (WHERE k.is_outbound) AS BIGINT) AS outbound_leg_count,
        CAST(COUNT(*) FILTER (WHERE k.is_outbound AND k.is_connected AND k.is_leg_answered) AS BIGINT) AS outbound_leg_connected_count,
        CAST(COALESCE(SUM(k.leg_talk_seconds) FILTER (WHERE k.is_outbound), 0) AS BIGINT) AS outbound_talk_seconds_sum,
        CAST(COUNT(*) FILTER (WHERE k.is_passed_on) AS BIGINT) AS transferred_out_count,
        CAST(COUNT(*) FILTER (WHERE k.is_taken_over) AS BIGINT) AS transferred_in_count,
        CAST(COUNT(*) FILTER (WHERE k.is_hung_up) AS BIGINT) AS leg_hung_up_count,
        CAST(COALESCE(SUM(k.leg_talk_seconds) FILTER (WHERE k.is_leg), 0) AS BIGINT) AS all_talk_seconds_sum,
        CAST(FLOOR(EXTRACT(EPOCH FROM MAX(k.leg_ended_at))) - FLOOR(EXTRACT(EPOCH FROM MIN(k.leg_began_at))) AS BIGINT) AS shift_seconds,
        CAST(COUNT(*) FILTER (WHERE k.is_provisional) AS BIGINT) AS leg_provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM rows_counted AS k
    WHERE k.day IS NOT NULL
    GROUP BY k.sdk_app_id, k.time_zone, k.day, k.agent
),

hours AS (
    SELECT
        c.sdk_app_id AS sdk_app_id,
        c.hour AS hour,
        c.asked_at AS asked_at,
        CASE WHEN c.is_final THEN 1 ELSE 0 END AS settled,
        c.sessions_in_warehouse + c.recordings_expected - c.recordings_missing AS here,
        c.sessions_in_warehouse + c.sessions_without_cdr + c.api_rows_unusable + c.recordings_expected AS due,
        CASE WHEN c.sdk_app_id IN (SELECT ks.sdk_app_id FROM {{ ref('kpi_settings') }} AS ks) THEN c.sdk_app_id ELSE 0 END
            AS settings_app_id
    FROM {{ source('callweave', 'completeness') }} AS c
),

known AS (
    SELECT
        h.sdk_app_id AS sdk_app_id,
        CAST((h.hour AT TIME ZONE z.time_zone) AS DATE) AS day,
        SUM(h.here) AS here,
        SUM(h.due) AS due,
        MIN(h.settled) AS settled
    FROM hours AS h
    INNER JOIN {{ ref('kpi_settings') }} AS z ON z.sdk_app_id = h.settings_app_id
    GROUP BY h.sdk_app_id, CAST((h.hour AT TIME ZONE z.time_zone) AS DATE)
    HAVING COUNT(h.asked_at) > 0
),

beside AS (
    SELECT
        n.sdk_app_id AS sdk_app_id,
        n.time_zone AS time_zone,
        n.day AS day,
        n.agent AS agent,
        n.first_rang_at AS first_rang_at,
        n.last_ended_at AS last_ended_at,
        n.leg_count AS leg_count,
        n.routed_count AS routed_count,
        n.leg_answered_count AS leg_answered_count,
        n.customer_gave_up_count AS customer_gave_up_count,
        n.ring_no_answer_count AS ring_no_answer_count,
        n.leg_ring_seconds_sum AS leg_ring_seconds_sum,
        n.inbound_talk_seconds_sum AS inbound_talk_seconds_sum,
        n.inbound_leg_answered_count AS inbound_leg_answered_count,
        n.outbound_leg_count AS outbound_leg_count,
        n.outbound_leg_connected_count AS outbound_leg_connected_count,
        n.outbound_talk_seconds_sum AS outbound_talk_seconds_sum,
        n.transferred_out_count AS transferred_out_count,
        n.transferred_in_count AS transferred_in_count,
        n.leg_hung_up_count AS leg_hung_up_count,
        n.all_talk_seconds_sum AS all_talk_seconds_sum,
        n.shift_seconds AS shift_seconds,
        n.leg_provisional_count AS leg_provisional_count,
        n.as_of AS as_of,
        w.here AS here,
        w.due AS due,
        w.settled AS settled
    FROM numbers AS n
    LEFT JOIN known AS w ON w.sdk_app_id = n.sdk_app_id AND w.day = n.day
)

-- From one table, because ClickHouse takes a view's columns for what a join makes of them.
SELECT
    n.sdk_app_id AS sdk_app_id,
    n.time_zone AS time_zone,
    n.day AS day,
    n.agent AS agent,
    n.first_rang_at AS first_rang_at,
    n.last_ended_at AS last_ended_at,
    n.leg_count AS leg_count,
    n.routed_count AS routed_count,
    n.leg_answered_count AS leg_answered_count,
    CAST(n.leg_answered_count AS DOUBLE PRECISION) / NULLIF(n.routed_count, 0) AS agent_answer_rate,
    n.customer_gave_up_count AS customer_gave_up_count,
    n.ring_no_answer_count AS ring_no_answer_count,
    CAST(n.ring_no_answer_count AS DOUBLE PRECISION) / NULLIF(n.routed_count, 0) AS ring_no_answer_rate,
    n.leg_ring_seconds_sum AS leg_ring_seconds_sum,
    CAST(n.leg_ring_seconds_sum AS DOUBLE PRECISION) / NULLIF(n.leg_answered_count, 0) AS mean_ring_seconds,
    n.inbound_talk_seconds_sum AS inbound_talk_seconds_sum,
    n.inbound_leg_answered_count AS inbound_leg_answered_count,
    CAST(n.inbound_talk_seconds_sum AS DOUBLE PRECISION) / NULLIF(n.inbound_leg_answered_count, 0) AS leg_aht_without_acw_seconds,
    n.outbound_leg_count AS outbound_leg_count,
    n.outbound_leg_connected_count AS outbound_leg_connected_count,
    n.outbound_talk_seconds_sum AS outbound_talk_seconds_sum,
    n.transferred_out_count AS transferred_out_count,
    n.transferred_in_count AS transferred_in_count,
    CAST(n.transferred_out_count AS DOUBLE PRECISION) / NULLIF(n.inbound_leg_answered_count, 0) AS leg_transfer_rate,
    n.leg_hung_up_count AS leg_hung_up_count,
    CAST(n.leg_hung_up_count AS DOUBLE PRECISION) / NULLIF(n.inbound_leg_answered_count, 0) AS leg_hang_up_rate,
    n.all_talk_seconds_sum AS all_talk_seconds_sum,
    n.shift_seconds AS shift_seconds,
    CAST(n.all_talk_seconds_sum AS DOUBLE PRECISION) / NULLIF(n.shift_seconds, 0) AS talk_share_proxy,
    n.leg_provisional_count AS leg_provisional_count,
    CAST(n.leg_provisional_count AS DOUBLE PRECISION) / NULLIF(n.leg_count, 0) AS leg_provisional_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
