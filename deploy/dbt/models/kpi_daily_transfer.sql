{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- Legs of inbound calls that were passed on, by day and kind of target.
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
        k.transfer_to_type AS transfer_to_type,
        CAST(COUNT(*) FILTER (WHERE k.is_passed_on) AS Nullable(Int64)) AS transferred_leg_count,
        CAST(COUNT(*) FILTER (WHERE k.is_passed_on AND k.is_provisional) AS Nullable(Int64)) AS transferred_provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM rows_counted AS k
    WHERE k.is_passed_on
    GROUP BY k.sdk_app_id, k.time_zone, k.day, k.transfer_to_type
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
        n.transfer_to_type AS transfer_to_type,
        n.transferred_leg_count AS transferred_leg_count,
        n.transferred_provisional_count AS transferred_provisional_count,
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
    n.transfer_to_type AS transfer_to_type,
    n.transferred_leg_count AS transferred_leg_count,
    n.transferred_provisional_count AS transferred_provisional_count,
    CAST(n.transferred_provisional_count AS Nullable(Float64)) / NULLIF(n.transferred_leg_count, 0) AS transferred_provisional_share,
    CAST(n.here AS Nullable(Float64)) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS Nullable(Bool)) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS Nullable(Int64)) AS definitions_version
FROM beside AS n
{%- else %}
-- Legs of inbound calls that were passed on, by day and kind of target.
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
        k.transfer_to_type AS transfer_to_type,
        CAST(COUNT(*) FILTER (WHERE k.is_passed_on) AS BIGINT) AS transferred_leg_count,
        CAST(COUNT(*) FILTER (WHERE k.is_passed_on AND k.is_provisional) AS BIGINT) AS transferred_provisional_count,
        MAX(k.loaded_at) AS as_of
    FROM rows_counted AS k
    WHERE k.is_passed_on
    GROUP BY k.sdk_app_id, k.time_zone, k.day, k.transfer_to_type
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
        n.transfer_to_type AS transfer_to_type,
        n.transferred_leg_count AS transferred_leg_count,
        n.transferred_provisional_count AS transferred_provisional_count,
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
    n.transfer_to_type AS transfer_to_type,
    n.transferred_leg_count AS transferred_leg_count,
    n.transferred_provisional_count AS transferred_provisional_count,
    CAST(n.transferred_provisional_count AS DOUBLE PRECISION) / NULLIF(n.transferred_leg_count, 0) AS transferred_provisional_share,
    CAST(n.here AS DOUBLE PRECISION) / NULLIF(n.due, 0) AS completeness,
    CASE WHEN COALESCE(n.due, 0) > 0 THEN CAST(n.settled = 1 AS BOOLEAN) END AS completeness_is_final,
    n.as_of AS as_of,
    CAST(1 AS BIGINT) AS definitions_version
FROM beside AS n
{%- endif %}
