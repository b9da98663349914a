{# Generated from sinks/kpi (`make deploy-files`); change it there. #}
{%- if target.type == 'clickhouse' %}
-- What an account decides about its numbers (KPI__… of the settings, written when the loader starts).
-- The loader's rows, so that numbers are those of its views; var callweave_rules: seed takes the seed's.
SELECT
    CAST(sdk_app_id AS Int64) AS sdk_app_id,
    CAST(COALESCE(time_zone, '') AS String) AS time_zone,
    CAST(target_seconds AS Int64) AS target_seconds,
    CAST(short_abandon_seconds AS Int64) AS short_abandon_seconds,
    CAST(ringing_is_abandoned AS Bool) AS ringing_is_abandoned,
    CAST(genesys_adds_flow_outs AS Bool) AS genesys_adds_flow_outs,
    CAST(genesys_drops_short_abandons AS Bool) AS genesys_drops_short_abandons,
    CAST(genesys_drops_abandons AS Bool) AS genesys_drops_abandons,
    CAST(very_short_seconds AS Int64) AS very_short_seconds,
    CAST(late_seconds AS Int64) AS late_seconds,
    CAST(provisional_seconds AS Int64) AS provisional_seconds,
    CAST(fcr_days AS Int64) AS fcr_days,
    CAST(containment_hours AS Int64) AS containment_hours,
    CAST(COALESCE(business_hours, '') AS String) AS business_hours,
    CAST(COALESCE(open_quarters, '') AS String) AS open_quarters
{%- if var('callweave_rules', 'loader') == 'seed' %}
FROM {{ ref('kpi_settings_seed') }}
{%- else %}
FROM {{ source('callweave', 'kpi_settings') }}
{%- endif %}
{%- else %}
-- What an account decides about its numbers (KPI__… of the settings, written when the loader starts).
-- The loader's rows, so that numbers are those of its views; var callweave_rules: seed takes the seed's.
SELECT
    CAST(sdk_app_id AS BIGINT) AS sdk_app_id,
    CAST(COALESCE(time_zone, '') AS TEXT) AS time_zone,
    CAST(target_seconds AS BIGINT) AS target_seconds,
    CAST(short_abandon_seconds AS BIGINT) AS short_abandon_seconds,
    CAST(ringing_is_abandoned AS BOOLEAN) AS ringing_is_abandoned,
    CAST(genesys_adds_flow_outs AS BOOLEAN) AS genesys_adds_flow_outs,
    CAST(genesys_drops_short_abandons AS BOOLEAN) AS genesys_drops_short_abandons,
    CAST(genesys_drops_abandons AS BOOLEAN) AS genesys_drops_abandons,
    CAST(very_short_seconds AS BIGINT) AS very_short_seconds,
    CAST(late_seconds AS BIGINT) AS late_seconds,
    CAST(provisional_seconds AS BIGINT) AS provisional_seconds,
    CAST(fcr_days AS BIGINT) AS fcr_days,
    CAST(containment_hours AS BIGINT) AS containment_hours,
    CAST(COALESCE(business_hours, '') AS TEXT) AS business_hours,
    CAST(COALESCE(open_quarters, '') AS TEXT) AS open_quarters
{%- if var('callweave_rules', 'loader') == 'seed' %}
FROM {{ ref('kpi_settings_seed') }}
{%- else %}
FROM {{ source('callweave', 'kpi_settings') }}
{%- endif %}
{%- endif %}
