{% test in_range(model, columns, lowest, highest=none) %}
{#- Where there is a value, it is not below the lowest nor above the highest. -#}
SELECT *
FROM {{ model }}
WHERE {% for column in columns -%}
    {{ column }} < {{ lowest }}{% if highest is not none %} OR {{ column }} > {{ highest }}{% endif %}
    {{- '\n    OR ' if not loop.last }}{% endfor %}
{% endtest %}
