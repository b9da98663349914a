-- Every queued call is exactly one of three, at every grain.
{% for model in ['kpi_daily', 'kpi_hourly_line', 'kpi_hourly_skill_group'] -%}
{%- set numbers = ref(model) %}
SELECT '{{ model }}' AS model, queued_count, answered_count, abandoned_count, flow_out_count
FROM {{ numbers }}
WHERE queued_count <> answered_count + abandoned_count + flow_out_count
{{ 'UNION ALL' if not loop.last }}
{%- endfor %}
