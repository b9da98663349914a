{% test one_row_for_each(model, columns) %}
{#- A key of several columns, of which some may be NULL, stands once. -#}
SELECT
    {% for column in columns %}{{ adapter.quote(column) }}, {% endfor -%}
    COUNT(*) AS row_count
FROM {{ model }}
GROUP BY {% for column in columns %}{{ adapter.quote(column) }}{{ ', ' if not loop.last }}{% endfor %}
HAVING COUNT(*) > 1
{% endtest %}
