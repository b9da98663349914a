{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- What a key of the survey after a call is worth (KPI__SATISFACTION_SCORES).
-- The loader's rows, so that numbers are those of its views; var callweave_rules: seed takes the seed's.
SELECT
    CAST(sdk_app_id AS Int64) AS sdk_app_id,
    CAST(COALESCE(satisfaction_key, '') AS String) AS satisfaction_key,
    CAST(score AS Int64) AS score
{%- if var('callweave_rules', 'loader') == 'seed' %}
FROM {{ ref('kpi_satisfaction_keys_seed') }}
{%- else %}
FROM {{ source('callweave', 'kpi_satisfaction_keys') }}
{%- endif %}
{%- else %}
-- What a key of the survey after a call is worth (KPI__SATISFACTION_SCORES).
-- The loader's rows, so that numbers are those of its views; var callweave_rules: seed takes the seed's.
SELECT
    CAST(sdk_app_id AS BIGINT) AS sdk_app_id,
    CAST(COALESCE(satisfaction_key, '') AS TEXT) AS satisfaction_key,
    CAST(score AS BIGINT) AS score
{%- if var('callweave_rules', 'loader') == 'seed' %}
FROM {{ ref('kpi_satisfaction_keys_seed') }}
{%- else %}
FROM {{ source('callweave', 'kpi_satisfaction_keys') }}
{%- endif %}
{%- endif %}
