{% test never_null(model, columns) %}
{#- What always has a value: all of a table's columns in one reading. -#}
SELECT *
FROM {{ model }}
WHERE {% for column in columns %}{{ adapter.quote(column) }} IS NULL{{ ' OR ' if not loop.last }}{% endfor %}
{% endtest %}
