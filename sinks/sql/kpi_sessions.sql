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
    FROM sessions AS c
    WHERE
        c.has_cdr
        AND c.direction = 'inbound'
        AND COALESCE(c.call_type, '') <> 'internal'
        AND c.customer_number IS NOT NULL
),

returned AS (
    SELECT
        c.*,
        $next_second AS next_second
    FROM kpi_calls AS c
    $contacts_joined
)
