{% test found_in(model, parent, columns) %}
{#- dbt's relationships knows one column; a session's key has two. -#}
{%- set key = columns | join(', ') -%}
SELECT {{ key }}
FROM {{ model }}
WHERE ({{ key }}) NOT IN (SELECT {{ key }} FROM {{ parent }})
{% endtest %}
