{% test parts_within_wholes(model, pairs) %}
{#- A numerator is a part of its denominator: neither above it, nor without one. -#}
SELECT *
FROM {{ model }}
WHERE {% for part, whole in pairs %}COALESCE({{ part }}, 0) > COALESCE({{ whole }}, 0){{ '\n    OR ' if not loop.last }}{% endfor %}
{% endtest %}
