-- Fields that TCCC sends and no documentation knew when this callweave was made: they wait in `extra`; doctor proposes.
-- At most 200, the most frequent first. A row for each type that a field's values have.
WITH members AS (
${extra_members}
)

SELECT
    m.table_name AS table_name,
    m.field AS field,
    m.value_type AS value_type,
    COUNT(*) AS row_count,
    MIN(s.first_received_at) AS first_seen_at,
    MAX(s.last_received_at) AS last_seen_at
FROM members AS m
INNER JOIN sessions AS s
    ON s.sdk_app_id = m.sdk_app_id AND s.session_id = m.session_id
GROUP BY m.table_name, m.field, m.value_type
ORDER BY row_count DESC, table_name, field, value_type
LIMIT 200
