-- A row for each day from 2018, when TCCC began, to 2045: what MetricFlow fills gaps with.
WITH digits AS (
    SELECT 0 AS n
    {% for n in range(1, 10) %}UNION ALL SELECT {{ n }}
    {% endfor %}
),

numbers AS (
    SELECT CAST(a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS INTEGER) AS n
    FROM digits AS a
    CROSS JOIN digits AS b
    CROSS JOIN digits AS c
    CROSS JOIN digits AS d
)

SELECT CAST('2018-01-01' AS DATE) + n AS date_day
FROM numbers
