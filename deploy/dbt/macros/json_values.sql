{# Generated from sinks/kpi/spelling.py (`make deploy-files`): values inside JSON of a row `s` of sessions, as each warehouse takes them out. #}

{% macro tccc_duration() -%}
    {{ return(adapter.dispatch('tccc_duration', 'callweave')()) }}
{%- endmacro %}

{% macro duckdb__tccc_duration() -%}
    s.extra ->> 'Duration'
{%- endmacro %}

{% macro postgres__tccc_duration() -%}
    s.extra ->> 'Duration'
{%- endmacro %}

{% macro clickhouse__tccc_duration() -%}
    NULLIF(if(JSONType(ifNull(s.extra, ''), 'Duration') = 'String', JSONExtractString(ifNull(s.extra, ''), 'Duration'), JSONExtractRaw(ifNull(s.extra, ''), 'Duration')), '')
{%- endmacro %}

{% macro satisfaction_key() -%}
    {{ return(adapter.dispatch('satisfaction_key', 'callweave')()) }}
{%- endmacro %}

{% macro duckdb__satisfaction_key() -%}
    NULLIF(COALESCE((s.extra -> 'PostIVRKeyPressed' -> -1) ->> 'Key', (s.extra -> 'PostIVRKeyPressed' -> -1) ->> 'key', ''), '')
{%- endmacro %}

{% macro postgres__satisfaction_key() -%}
    NULLIF(COALESCE((s.extra -> 'PostIVRKeyPressed' -> -1) ->> 'Key', (s.extra -> 'PostIVRKeyPressed' -> -1) ->> 'key', ''), '')
{%- endmacro %}

{% macro clickhouse__satisfaction_key() -%}
    NULLIF(if(if(JSONType(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key') = 'String', JSONExtractString(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key'), JSONExtractRaw(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key')) = '', if(JSONType(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'key') = 'String', JSONExtractString(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'key'), JSONExtractRaw(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'key')), if(JSONType(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key') = 'String', JSONExtractString(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key'), JSONExtractRaw(ifNull(s.extra, ''), 'PostIVRKeyPressed', -1, 'Key'))), '')
{%- endmacro %}

{% macro ivr_path() -%}
    {{ return(adapter.dispatch('ivr_path', 'callweave')()) }}
{%- endmacro %}

{% macro duckdb__ivr_path() -%}
    NULLIF(ARRAY_TO_STRING([COALESCE(pressed ->> 'Key', pressed ->> 'key', '') || CASE WHEN COALESCE(pressed ->> 'Label', pressed ->> 'label', '') = '' THEN '' ELSE ':' || COALESCE(pressed ->> 'Label', pressed ->> 'label', '') END FOR pressed IN JSON_EXTRACT(s.extra, '$.IVRKeyPressedEx[*]')], '>'), '')
{%- endmacro %}

{% macro postgres__ivr_path() -%}
    (SELECT NULLIF(STRING_AGG(COALESCE(pressed.value ->> 'Key', pressed.value ->> 'key', '') || CASE WHEN COALESCE(pressed.value ->> 'Label', pressed.value ->> 'label', '') = '' THEN '' ELSE ':' || COALESCE(pressed.value ->> 'Label', pressed.value ->> 'label', '') END, '>' ORDER BY pressed.place), '') FROM JSONB_ARRAY_ELEMENTS(CASE WHEN JSONB_TYPEOF(s.extra -> 'IVRKeyPressedEx') = 'array' THEN s.extra -> 'IVRKeyPressedEx' END) WITH ORDINALITY AS pressed (value, place))
{%- endmacro %}

{% macro clickhouse__ivr_path() -%}
    NULLIF(arrayStringConcat(arrayMap(pressed -> concat(if(if(JSONType(pressed, 'Key') = 'String', JSONExtractString(pressed, 'Key'), JSONExtractRaw(pressed, 'Key')) = '', if(JSONType(pressed, 'key') = 'String', JSONExtractString(pressed, 'key'), JSONExtractRaw(pressed, 'key')), if(JSONType(pressed, 'Key') = 'String', JSONExtractString(pressed, 'Key'), JSONExtractRaw(pressed, 'Key'))), if(if(if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label')) = '', if(JSONType(pressed, 'label') = 'String', JSONExtractString(pressed, 'label'), JSONExtractRaw(pressed, 'label')), if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label'))) = '', '', concat(':', if(if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label')) = '', if(JSONType(pressed, 'label') = 'String', JSONExtractString(pressed, 'label'), JSONExtractRaw(pressed, 'label')), if(JSONType(pressed, 'Label') = 'String', JSONExtractString(pressed, 'Label'), JSONExtractRaw(pressed, 'Label')))))), JSONExtractArrayRaw(ifNull(s.extra, ''), 'IVRKeyPressedEx')), '>'), '')
{%- endmacro %}
