-- The same calls at every grain: days of kpi_daily are the hours of kpi_hourly_line, and the calls of kpi_sessions.
WITH told AS (
    SELECT sdk_app_id, day, session_count AS days, 0 AS hours, 0 AS calls FROM {{ ref('kpi_daily') }}
    UNION ALL
    SELECT sdk_app_id, day, 0 AS days, session_count AS hours, 0 AS calls FROM {{ ref('kpi_hourly_line') }}
    UNION ALL
    SELECT sdk_app_id, day, 0 AS days, 0 AS hours, 1 AS calls FROM {{ ref('kpi_sessions') }} WHERE day IS NOT NULL
)

SELECT sdk_app_id, day, SUM(days) AS counted_by_day, SUM(hours) AS counted_by_hour, SUM(calls) AS counted_by_call
FROM told
GROUP BY sdk_app_id, day
HAVING SUM(days) <> SUM(hours) OR SUM(days) <> SUM(calls)
