
CREATE TABLE public.agent_events (
    sdk_app_id bigint NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    session_id text NOT NULL,
    event_sequence bigint NOT NULL,
    occurred_at timestamp with time zone,
    event_type text,
    agent_mail text,
    staff_number text,
    extra jsonb,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.agent_events.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.agent_events.asked_at IS 'The moment before the API was asked; the later answer counts';
COMMENT ON COLUMN public.agent_events.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.agent_events.event_sequence IS 'Its place among the session''s events, from 0, by time';
COMMENT ON COLUMN public.agent_events.occurred_at IS 'When it happened; TCCC tells whole seconds';
COMMENT ON COLUMN public.agent_events.event_type IS 'StaffHold, StaffUnhold, StaffMute, StaffUnmute, as sent';
COMMENT ON COLUMN public.agent_events.agent_mail IS 'The agent''s e-mail';
COMMENT ON COLUMN public.agent_events.staff_number IS 'The agent''s number';
COMMENT ON COLUMN public.agent_events.extra IS 'Every field of TCCC''s event without a column';
COMMENT ON COLUMN public.agent_events.loaded_at IS 'When the row was committed';
CREATE TABLE public.agent_status (
    sdk_app_id bigint NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    agent_mail text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    status_sequence bigint NOT NULL,
    status text,
    session_id text,
    reason text,
    staff_number text,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.agent_status.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.agent_status.asked_at IS 'The moment before the API was asked; the later answer counts';
COMMENT ON COLUMN public.agent_status.agent_mail IS 'The agent''s e-mail, as the directory has it';
COMMENT ON COLUMN public.agent_status.changed_at IS 'Since when; TCCC tells whole seconds';
COMMENT ON COLUMN public.agent_status.status_sequence IS 'Its place among the changes of that second, from 0';
COMMENT ON COLUMN public.agent_status.status IS 'free, busy, rest, notReady, afterCallWork, offline, as sent';
COMMENT ON COLUMN public.agent_status.session_id IS 'The session that it is about';
COMMENT ON COLUMN public.agent_status.reason IS 'The reason that the agent gave';
COMMENT ON COLUMN public.agent_status.staff_number IS 'The agent''s number';
COMMENT ON COLUMN public.agent_status.loaded_at IS 'When the row was committed';
CREATE TABLE public.agent_status_reads (
    sdk_app_id bigint NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    agent_mail text NOT NULL,
    read_from timestamp with time zone NOT NULL,
    read_to timestamp with time zone NOT NULL,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.agent_status_reads.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.agent_status_reads.asked_at IS 'The moment before the API was asked; the later answer counts';
COMMENT ON COLUMN public.agent_status_reads.agent_mail IS 'The agent''s e-mail';
COMMENT ON COLUMN public.agent_status_reads.read_from IS 'Where the reading of the agent''s history began';
COMMENT ON COLUMN public.agent_status_reads.read_to IS 'How far it went';
COMMENT ON COLUMN public.agent_status_reads.loaded_at IS 'When the row was committed';
CREATE VIEW public.agent_occupancy AS
 WITH numbers AS (
         SELECT ((ones.n + (10 * tens.n)) + (100 * hundreds.n)) AS n
           FROM ((( VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) ones(n)
             CROSS JOIN ( VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) tens(n))
             CROSS JOIN ( VALUES (0), (1)) hundreds(n))
        ), spans AS (
         SELECT c.sdk_app_id,
            c.agent_mail,
            c.status,
            c.changed_at AS began_at,
            COALESCE(lead(c.changed_at) OVER (PARTITION BY c.sdk_app_id, c.agent_mail ORDER BY c.changed_at, c.status_sequence), r.read_to) AS lasted_to,
            r.read_to
           FROM (public.agent_status c
             LEFT JOIN public.agent_status_reads r ON (((r.sdk_app_id = c.sdk_app_id) AND (r.agent_mail = c.agent_mail))))
        ), days AS (
         SELECT s.sdk_app_id,
            s.agent_mail,
            s.status,
            s.read_to,
            (((s.began_at AT TIME ZONE 'UTC'::text))::date + d.n) AS day,
            s.began_at,
            s.lasted_to
           FROM (spans s
             JOIN numbers d ON (((((s.began_at AT TIME ZONE 'UTC'::text))::date + d.n) <= ((s.lasted_to AT TIME ZONE 'UTC'::text))::date)))
          WHERE (s.lasted_to > s.began_at)
        ), parts AS (
         SELECT days.sdk_app_id,
            days.agent_mail,
            days.day,
            days.status,
            days.read_to,
            (EXTRACT(epoch FROM (LEAST(days.lasted_to, (((days.day + 1))::timestamp without time zone AT TIME ZONE 'UTC'::text)) - GREATEST(days.began_at, ((days.day)::timestamp without time zone AT TIME ZONE 'UTC'::text)))))::bigint AS seconds
           FROM days
        ), totals AS (
         SELECT parts.sdk_app_id,
            parts.agent_mail,
            parts.day,
            (COALESCE(sum(parts.seconds) FILTER (WHERE (parts.status = 'free'::text)), (0)::numeric))::bigint AS free_seconds,
            (COALESCE(sum(parts.seconds) FILTER (WHERE (parts.status = 'busy'::text)), (0)::numeric))::bigint AS busy_seconds,
            (COALESCE(sum(parts.seconds) FILTER (WHERE (parts.status = ANY (ARRAY['afterCallWork'::text, 'arrange'::text]))), (0)::numeric))::bigint AS after_call_work_seconds,
            (COALESCE(sum(parts.seconds) FILTER (WHERE (parts.status = 'rest'::text)), (0)::numeric))::bigint AS rest_seconds,
            (COALESCE(sum(parts.seconds) FILTER (WHERE (parts.status = 'notReady'::text)), (0)::numeric))::bigint AS not_ready_seconds,
            (COALESCE(sum(parts.seconds) FILTER (WHERE (parts.status = 'offline'::text)), (0)::numeric))::bigint AS offline_seconds,
            max(parts.read_to) AS known_to
           FROM parts
          GROUP BY parts.sdk_app_id, parts.agent_mail, parts.day
        )
 SELECT sdk_app_id,
    agent_mail,
    day,
    free_seconds,
    busy_seconds,
    after_call_work_seconds,
    rest_seconds,
    not_ready_seconds,
    offline_seconds,
    (((busy_seconds + after_call_work_seconds))::double precision / (NULLIF(((busy_seconds + after_call_work_seconds) + free_seconds), 0))::double precision) AS occupancy,
    known_to
   FROM totals t;
COMMENT ON VIEW public.agent_occupancy IS 'What each agent did on each UTC day, in seconds by status, and how much of the time at work was taken (occupancy).';
CREATE TABLE public.agents (
    sdk_app_id bigint NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    agent_mail text NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    agent_name text,
    nick text,
    agent_phone text,
    staff_number text,
    extension_number text,
    role_id bigint,
    skill_group_ids text,
    extra jsonb,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.agents.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.agents.asked_at IS 'The moment before the API was asked; the later answer counts';
COMMENT ON COLUMN public.agents.agent_mail IS 'The agent''s e-mail: what CDRs call the agent by';
COMMENT ON COLUMN public.agents.valid_from IS 'Since when: TCCC''s LastModifyTimestamp, or when the change was seen';
COMMENT ON COLUMN public.agents.valid_to IS 'Until when (excluded); NULL = as it is now';
COMMENT ON COLUMN public.agents.agent_name IS 'The agent''s name';
COMMENT ON COLUMN public.agents.nick IS 'The name that customers see';
COMMENT ON COLUMN public.agents.agent_phone IS 'The agent''s phone';
COMMENT ON COLUMN public.agents.staff_number IS 'The agent''s number';
COMMENT ON COLUMN public.agents.extension_number IS 'The agent''s extension';
COMMENT ON COLUMN public.agents.role_id IS '1 administrator, 2 quality inspector, 3 agent, else a role of your own';
COMMENT ON COLUMN public.agents.skill_group_ids IS 'Skill groups that the agent serves: ids, sorted, commas between';
COMMENT ON COLUMN public.agents.extra IS 'Every field of TCCC''s without a column';
COMMENT ON COLUMN public.agents.loaded_at IS 'When the row was committed';
CREATE TABLE public.callweave_meta (
    key text NOT NULL,
    value text NOT NULL
);
COMMENT ON COLUMN public.callweave_meta.key IS 'What is told';
COMMENT ON COLUMN public.callweave_meta.value IS 'What it is';
CREATE TABLE public.callweave_offsets (
    topic text NOT NULL,
    partition bigint NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.callweave_offsets.topic IS 'Kafka topic';
COMMENT ON COLUMN public.callweave_offsets.partition IS 'Its partition';
COMMENT ON COLUMN public.callweave_offsets.next_offset IS 'The first record whose rows are not here yet';
COMMENT ON COLUMN public.callweave_offsets.updated_at IS 'When it was stored: the latest is the latest commit';
CREATE TABLE public.reconcile_windows (
    sdk_app_id bigint NOT NULL,
    window_start timestamp with time zone NOT NULL,
    window_end timestamp with time zone NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    total_count bigint NOT NULL,
    row_count bigint NOT NULL,
    unusable_count bigint NOT NULL,
    is_whole boolean NOT NULL,
    is_final boolean NOT NULL,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.reconcile_windows.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.reconcile_windows.window_start IS 'The first moment of the hour';
COMMENT ON COLUMN public.reconcile_windows.window_end IS 'How far the hour was read; short of its end while it lasts';
COMMENT ON COLUMN public.reconcile_windows.asked_at IS 'The moment before its first page was asked for';
COMMENT ON COLUMN public.reconcile_windows.total_count IS 'TotalCount, as the API gave it';
COMMENT ON COLUMN public.reconcile_windows.row_count IS 'Sessions that came';
COMMENT ON COLUMN public.reconcile_windows.unusable_count IS 'Rows that are in no table, but dead letters of stage reconcile';
COMMENT ON COLUMN public.reconcile_windows.is_whole IS 'The count stood still, and as many sessions came';
COMMENT ON COLUMN public.reconcile_windows.is_final IS 'It is not read again by itself';
COMMENT ON COLUMN public.reconcile_windows.loaded_at IS 'When the row was committed';
CREATE TABLE public.recordings (
    sdk_app_id bigint NOT NULL,
    session_id text NOT NULL,
    recording_id text NOT NULL,
    is_expected boolean NOT NULL,
    received_at timestamp with time zone,
    absent_at timestamp with time zone,
    side text,
    leg_sequence bigint,
    endpoint_user text,
    generated_at timestamp with time zone,
    url text,
    custom_url text,
    matched_by text,
    pushed_recording_id text,
    source text,
    extra jsonb
);
COMMENT ON COLUMN public.recordings.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.recordings.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.recordings.recording_id IS 'The CDR''s id where named, else the pushed id, `<RecordId>~<endpoint>` if shared';
COMMENT ON COLUMN public.recordings.is_expected IS 'A CDR named it';
COMMENT ON COLUMN public.recordings.received_at IS 'First receipt of its first report; NULL = named but not here';
COMMENT ON COLUMN public.recordings.absent_at IS 'When the API first said that there is none';
COMMENT ON COLUMN public.recordings.side IS 'Whose side was recorded; NULL where nobody named it';
COMMENT ON COLUMN public.recordings.leg_sequence IS 'The leg that named it';
COMMENT ON COLUMN public.recordings.endpoint_user IS 'Who was recorded, as pushed: a phone number or an agent''s e-mail';
COMMENT ON COLUMN public.recordings.generated_at IS 'When TCCC made the recording';
COMMENT ON COLUMN public.recordings.url IS 'The address as pushed; TCCC keeps the audio three months';
COMMENT ON COLUMN public.recordings.custom_url IS 'The permanent address in the customer''s own storage';
COMMENT ON COLUMN public.recordings.matched_by IS 'How it met the name in the CDR';
COMMENT ON COLUMN public.recordings.pushed_recording_id IS 'RecordId as pushed; derived from the content where none was';
COMMENT ON COLUMN public.recordings.source IS 'push, api or push+api; NULL where nothing has come';
COMMENT ON COLUMN public.recordings.extra IS 'Every field of TCCC''s notice without a column';
CREATE TABLE public.sessions (
    sdk_app_id bigint NOT NULL,
    session_id text NOT NULL,
    version bigint NOT NULL,
    has_cdr boolean NOT NULL,
    direction text,
    call_type text,
    caller text,
    callee text,
    customer_number text,
    line_number text,
    started_at timestamp with time zone,
    queued_at timestamp with time zone,
    rang_at timestamp with time zone,
    answered_at timestamp with time zone,
    ended_at timestamp with time zone,
    ivr_seconds bigint,
    wait_seconds bigint,
    talk_seconds bigint,
    end_status text,
    hung_up_by text,
    skill_group_id bigint,
    skill_group_name text,
    agent_mail text,
    agent_name text,
    leg_count bigint NOT NULL,
    recordings_expected bigint NOT NULL,
    recordings_received bigint NOT NULL,
    recordings_missing bigint NOT NULL,
    voicemail_count bigint NOT NULL,
    uui text,
    user_remark text,
    first_received_at timestamp with time zone NOT NULL,
    last_received_at timestamp with time zone NOT NULL,
    source text,
    extra jsonb,
    document_digest text NOT NULL,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.sessions.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.sessions.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.sessions.version IS 'Grows with knowledge only; the highest version replaces a session whole';
COMMENT ON COLUMN public.sessions.has_cdr IS 'A CDR has come, pushed or from the API';
COMMENT ON COLUMN public.sessions.direction IS 'inbound, outbound, else TCCC''s number as text';
COMMENT ON COLUMN public.sessions.call_type IS 'outbound, inbound, audio_inbound, predictive_outbound, internal, else TCCC''s number as text';
COMMENT ON COLUMN public.sessions.caller IS 'The calling party, as sent';
COMMENT ON COLUMN public.sessions.callee IS 'The called party, as sent';
COMMENT ON COLUMN public.sessions.customer_number IS 'Caller (inbound) or callee (outbound); NULL for internal calls';
COMMENT ON COLUMN public.sessions.line_number IS 'The company''s number: the other one';
COMMENT ON COLUMN public.sessions.started_at IS 'Start of the whole session';
COMMENT ON COLUMN public.sessions.queued_at IS 'When the customer entered the queue';
COMMENT ON COLUMN public.sessions.rang_at IS 'Inbound: the agent''s side rings; outbound: the customer''s';
COMMENT ON COLUMN public.sessions.answered_at IS 'Inbound: the agent answered; outbound: the customer did';
COMMENT ON COLUMN public.sessions.ended_at IS 'End of the whole session';
COMMENT ON COLUMN public.sessions.ivr_seconds IS 'TCCC''s IVRDuration: seconds in the IVR';
COMMENT ON COLUMN public.sessions.wait_seconds IS 'Answered, else ended, minus queued';
COMMENT ON COLUMN public.sessions.talk_seconds IS 'Ended minus answered; hold time included';
COMMENT ON COLUMN public.sessions.end_status IS 'How the session ended: TCCC''s EndStatusString';
COMMENT ON COLUMN public.sessions.hung_up_by IS 'user, seat or system, as sent';
COMMENT ON COLUMN public.sessions.skill_group_id IS 'The queue''s skill group; for outbound a rule-based pick';
COMMENT ON COLUMN public.sessions.skill_group_name IS 'Its name';
COMMENT ON COLUMN public.sessions.agent_mail IS 'The (last) agent''s e-mail';
COMMENT ON COLUMN public.sessions.agent_name IS 'The (last) agent''s name';
COMMENT ON COLUMN public.sessions.leg_count IS 'Number of legs';
COMMENT ON COLUMN public.sessions.recordings_expected IS 'Recordings that the CDR names';
COMMENT ON COLUMN public.sessions.recordings_received IS 'Recordings that have come, named or not';
COMMENT ON COLUMN public.sessions.recordings_missing IS 'Named, not here, and not known to be absent';
COMMENT ON COLUMN public.sessions.voicemail_count IS 'Number of voicemails';
COMMENT ON COLUMN public.sessions.uui IS 'Data passed along at dial time';
COMMENT ON COLUMN public.sessions.user_remark IS 'The remark on the customer';
COMMENT ON COLUMN public.sessions.first_received_at IS 'First receipt of any report about the session';
COMMENT ON COLUMN public.sessions.last_received_at IS 'Last receipt of any';
COMMENT ON COLUMN public.sessions.source IS 'Where its CDR came from: push, api or push+api';
COMMENT ON COLUMN public.sessions.extra IS 'Every field of TCCC''s CDR without a column';
COMMENT ON COLUMN public.sessions.document_digest IS 'Orders documents of equal version';
COMMENT ON COLUMN public.sessions.loaded_at IS 'When the row was committed: the watermark for incremental models';
CREATE TABLE public.voicemails (
    sdk_app_id bigint NOT NULL,
    session_id text NOT NULL,
    voicemail_id text NOT NULL,
    endpoint_user text,
    generated_at timestamp with time zone,
    url text,
    received_at timestamp with time zone,
    source text,
    extra jsonb
);
COMMENT ON COLUMN public.voicemails.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.voicemails.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.voicemails.voicemail_id IS 'Digest of time and URL path; `api:<n>` where only the API knows of it';
COMMENT ON COLUMN public.voicemails.endpoint_user IS 'Who left it';
COMMENT ON COLUMN public.voicemails.generated_at IS 'When it was made';
COMMENT ON COLUMN public.voicemails.url IS 'The address as pushed';
COMMENT ON COLUMN public.voicemails.received_at IS 'First receipt';
COMMENT ON COLUMN public.voicemails.source IS 'push or api';
COMMENT ON COLUMN public.voicemails.extra IS 'Every field of TCCC''s notice without a column';
CREATE VIEW public.completeness AS
 WITH tracks AS (
         SELECT recordings.sdk_app_id,
            recordings.session_id,
            recordings.generated_at
           FROM public.recordings
        UNION ALL
         SELECT voicemails.sdk_app_id,
            voicemails.session_id,
            voicemails.generated_at
           FROM public.voicemails
        ), first_tracks AS (
         SELECT t.sdk_app_id,
            t.session_id,
            min(t.generated_at) AS made_at
           FROM (tracks t
             JOIN public.sessions s ON (((s.sdk_app_id = t.sdk_app_id) AND (s.session_id = t.session_id))))
          WHERE ((s.ended_at IS NULL) AND (s.started_at IS NULL))
          GROUP BY t.sdk_app_id, t.session_id
        ), told AS (
         SELECT recordings.sdk_app_id,
            recordings.session_id,
            sum(
                CASE
                    WHEN (recordings.received_at IS NOT NULL) THEN 1
                    ELSE 0
                END) AS recovered,
            sum(
                CASE
                    WHEN (recordings.absent_at IS NOT NULL) THEN 1
                    ELSE 0
                END) AS absent
           FROM public.recordings
          WHERE (((recordings.received_at IS NOT NULL) AND (recordings.source = 'api'::text)) OR (recordings.absent_at IS NOT NULL))
          GROUP BY recordings.sdk_app_id, recordings.session_id
        ), placed AS (
         SELECT s.sdk_app_id,
            s.has_cdr,
            s.source,
            s.recordings_expected,
            s.recordings_received,
            s.recordings_missing,
            COALESCE(r.recovered, (0)::bigint) AS recordings_recovered,
            COALESCE(r.absent, (0)::bigint) AS recordings_absent,
            s.loaded_at,
            (date_trunc('hour'::text, (COALESCE(s.ended_at, s.started_at, t.made_at, s.first_received_at) AT TIME ZONE 'UTC'::text)) AT TIME ZONE 'UTC'::text) AS hour,
            (date_trunc('hour'::text, (s.started_at AT TIME ZONE 'UTC'::text)) AT TIME ZONE 'UTC'::text) AS began
           FROM ((public.sessions s
             LEFT JOIN first_tracks t ON (((t.sdk_app_id = s.sdk_app_id) AND (t.session_id = s.session_id))))
             LEFT JOIN told r ON (((r.sdk_app_id = s.sdk_app_id) AND (r.session_id = s.session_id))))
        ), runs AS (
         SELECT w.sdk_app_id,
            w.window_start,
            w.window_end,
            w.asked_at,
            w.total_count,
            w.row_count,
            w.unusable_count,
            w.is_whole,
            w.is_final,
            w.loaded_at,
            (((EXTRACT(epoch FROM w.window_start))::bigint / 3600) - row_number() OVER (PARTITION BY w.sdk_app_id, w.is_final ORDER BY w.window_start)) AS run
           FROM public.reconcile_windows w
        ), windows AS (
         SELECT runs.sdk_app_id,
            runs.window_start,
            runs.window_end,
            runs.asked_at,
            runs.unusable_count,
            runs.loaded_at,
                CASE
                    WHEN runs.is_final THEN min(runs.window_start) OVER (PARTITION BY runs.sdk_app_id, runs.is_final, runs.run)
                    ELSE NULL::timestamp with time zone
                END AS final_since
           FROM runs
        ), parts AS (
         SELECT placed.sdk_app_id,
            placed.hour,
            placed.began,
                CASE
                    WHEN (placed.source = ANY (ARRAY['api'::text, 'push+api'::text])) THEN 1
                    ELSE 0
                END AS known_to_api,
                CASE
                    WHEN placed.has_cdr THEN 1
                    ELSE 0
                END AS in_warehouse,
                CASE
                    WHEN (placed.source = ANY (ARRAY['push'::text, 'push+api'::text])) THEN 1
                    ELSE 0
                END AS by_push,
                CASE
                    WHEN (placed.source = 'api'::text) THEN 1
                    ELSE 0
                END AS api_only,
                CASE
                    WHEN (placed.source = 'push'::text) THEN 1
                    ELSE 0
                END AS push_only,
                CASE
                    WHEN placed.has_cdr THEN 0
                    ELSE 1
                END AS without_cdr,
            0 AS unusable,
            placed.recordings_expected AS expected,
            placed.recordings_received AS received,
            placed.recordings_recovered AS recovered,
            placed.recordings_absent AS absent,
            placed.recordings_missing AS missing,
            NULL::timestamp with time zone AS asked_at,
            NULL::timestamp with time zone AS read_to,
            NULL::timestamp with time zone AS final_since,
            placed.loaded_at
           FROM placed
        UNION ALL
         SELECT windows.sdk_app_id,
            windows.window_start,
            NULL::timestamp with time zone,
            0,
            0,
            0,
            0,
            0,
            0,
            windows.unusable_count,
            0,
            0,
            0,
            0,
            0,
            windows.asked_at,
            windows.window_end,
            windows.final_since,
            windows.loaded_at
           FROM windows
        ), hours AS (
         SELECT parts.sdk_app_id,
            parts.hour,
            sum(parts.known_to_api) AS sessions_known_to_api,
            sum(parts.in_warehouse) AS sessions_in_warehouse,
            sum(parts.by_push) AS sessions_by_push,
            sum(parts.api_only) AS sessions_api_only,
            sum(parts.push_only) AS sessions_push_only,
            sum(parts.without_cdr) AS sessions_without_cdr,
            (sum(parts.unusable))::bigint AS api_rows_unusable,
            (sum(parts.expected))::bigint AS recordings_expected,
            (sum(parts.received))::bigint AS recordings_received,
            (sum(parts.recovered))::bigint AS recordings_recovered,
            (sum(parts.absent))::bigint AS recordings_absent,
            (sum(parts.missing))::bigint AS recordings_missing,
            max(parts.asked_at) AS asked_at,
            max(parts.read_to) AS read_to,
            max(parts.final_since) AS final_since,
            min(parts.began) AS first_began,
            max(parts.loaded_at) AS as_of
           FROM parts
          GROUP BY parts.sdk_app_id, parts.hour
        )
 SELECT sdk_app_id,
    hour,
    sessions_known_to_api,
    sessions_in_warehouse,
    sessions_by_push,
    sessions_api_only,
    sessions_push_only,
    sessions_without_cdr,
    api_rows_unusable,
    recordings_expected,
    recordings_received,
    recordings_recovered,
    recordings_absent,
    recordings_missing,
    ((((sessions_in_warehouse + recordings_expected) - recordings_missing))::double precision / (NULLIF((((sessions_in_warehouse + sessions_without_cdr) + api_rows_unusable) + recordings_expected), 0))::double precision) AS share,
    asked_at,
    read_to,
    COALESCE((final_since <= LEAST((hour - '01:00:00'::interval), GREATEST(COALESCE(first_began, hour), (hour - '24:00:00'::interval)))), false) AS is_final,
    as_of
   FROM hours;
COMMENT ON VIEW public.completeness IS 'How complete each application''s hour is: what was pushed, what the API knows, what is here, what is missing.';
COMMENT ON COLUMN public.completeness.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.completeness.hour IS 'The hour in which calls ended; without an end: in which they started, else the first recording was made';
COMMENT ON COLUMN public.completeness.sessions_known_to_api IS 'Sessions whose CDR the API gave';
COMMENT ON COLUMN public.completeness.sessions_in_warehouse IS 'Sessions with a CDR, pushed or from the API';
COMMENT ON COLUMN public.completeness.sessions_by_push IS 'Of these: their CDR was pushed';
COMMENT ON COLUMN public.completeness.sessions_api_only IS 'Of these: only the API gave their CDR';
COMMENT ON COLUMN public.completeness.sessions_push_only IS 'Of these: the API gave none, or was not asked yet';
COMMENT ON COLUMN public.completeness.sessions_without_cdr IS 'Sessions of which only recordings or voicemails came: their CDR is missing';
COMMENT ON COLUMN public.completeness.api_rows_unusable IS 'Rows of the API''s hour that are in no table, but dead letters of stage reconcile';
COMMENT ON COLUMN public.completeness.recordings_expected IS 'Recordings that CDRs name';
COMMENT ON COLUMN public.completeness.recordings_received IS 'Recordings that have come, named or not';
COMMENT ON COLUMN public.completeness.recordings_recovered IS 'Of these: only the API told of them';
COMMENT ON COLUMN public.completeness.recordings_absent IS 'Named, and the API says that there is none';
COMMENT ON COLUMN public.completeness.recordings_missing IS 'Named, not here, and not known to be absent';
COMMENT ON COLUMN public.completeness.share IS 'What is here, of what is due (a CDR for each session, a recording or its absence for each name); NULL where nothing is due';
COMMENT ON COLUMN public.completeness.asked_at IS 'When the API was last asked for the hour; NULL = never';
COMMENT ON COLUMN public.completeness.read_to IS 'How far into the hour that reading went';
COMMENT ON COLUMN public.completeness.is_final IS 'Asked after every deadline, and so were the hours before in which its calls began';
COMMENT ON COLUMN public.completeness.as_of IS 'The latest commit that the numbers count';
CREATE TABLE public.dead_letters (
    dead_letter_id text NOT NULL,
    stage text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    action text,
    headers jsonb,
    received_at timestamp with time zone,
    occurred_at timestamp with time zone NOT NULL,
    topic text,
    partition bigint,
    "offset" bigint,
    raw bytea NOT NULL,
    raw_bytes_count bigint NOT NULL,
    seen_count bigint NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    replayed_at timestamp with time zone,
    replay_outcome text
);
COMMENT ON COLUMN public.dead_letters.dead_letter_id IS 'Digest of stage, reason and raw';
COMMENT ON COLUMN public.dead_letters.stage IS 'Where the record stopped: receive, absorb, load';
COMMENT ON COLUMN public.dead_letters.reason IS 'Why, from a closed list';
COMMENT ON COLUMN public.dead_letters.detail IS 'What exactly was wrong';
COMMENT ON COLUMN public.dead_letters.action IS 'TCCC''s action, as sent';
COMMENT ON COLUMN public.dead_letters.headers IS 'The request''s headers, credentials removed';
COMMENT ON COLUMN public.dead_letters.received_at IS 'When the push was received';
COMMENT ON COLUMN public.dead_letters.occurred_at IS 'When it was found unusable';
COMMENT ON COLUMN public.dead_letters.topic IS 'Where its first record stands';
COMMENT ON COLUMN public.dead_letters.partition IS 'Partition of that';
COMMENT ON COLUMN public.dead_letters."offset" IS 'Offset of that';
COMMENT ON COLUMN public.dead_letters.raw IS 'The body as received, before any decoding';
COMMENT ON COLUMN public.dead_letters.raw_bytes_count IS 'Its whole length, also where raw was cut short';
COMMENT ON COLUMN public.dead_letters.seen_count IS 'Times seen: at least the answered deliveries';
COMMENT ON COLUMN public.dead_letters.last_seen_at IS 'Last of them';
COMMENT ON COLUMN public.dead_letters.replayed_at IS 'When it was last replayed';
COMMENT ON COLUMN public.dead_letters.replay_outcome IS 'What came of that';
CREATE TABLE public.field_disagreements (
    sdk_app_id bigint NOT NULL,
    session_id text NOT NULL,
    field text NOT NULL,
    pushed_value text NOT NULL,
    api_value text NOT NULL,
    pushed_at timestamp with time zone NOT NULL,
    api_asked_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.field_disagreements.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.field_disagreements.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.field_disagreements.field IS 'TCCC''s field; of an agent `SeatUser.Mail`, of a leg `ServeParticipants[1].Mail`';
COMMENT ON COLUMN public.field_disagreements.pushed_value IS 'What was pushed, as text; its first 1,000 characters';
COMMENT ON COLUMN public.field_disagreements.api_value IS 'What the API says, as text; its first 1,000 characters';
COMMENT ON COLUMN public.field_disagreements.pushed_at IS 'First receipt of the newest CDR that was pushed';
COMMENT ON COLUMN public.field_disagreements.api_asked_at IS 'When the API first gave its newest answer';
CREATE TABLE public.legs (
    sdk_app_id bigint NOT NULL,
    session_id text NOT NULL,
    leg_sequence bigint NOT NULL,
    agent_mail text,
    agent_phone text,
    leg_type text,
    started_at timestamp with time zone,
    rang_at timestamp with time zone,
    answered_at timestamp with time zone,
    ended_at timestamp with time zone,
    end_status text,
    recording_id text,
    skill_group_id bigint,
    skill_group_name text,
    transfer_from text,
    transfer_from_type text,
    transfer_to text,
    transfer_to_type text,
    extra jsonb
);
COMMENT ON COLUMN public.legs.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.legs.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.legs.leg_sequence IS 'TCCC''s Sequence, or the leg''s position where Sequence cannot tell legs apart';
COMMENT ON COLUMN public.legs.agent_mail IS 'The agent''s e-mail';
COMMENT ON COLUMN public.legs.agent_phone IS 'The agent''s phone, where the leg is a phone';
COMMENT ON COLUMN public.legs.leg_type IS 'staffSeat, staffPhoneSeat, miniProgramSeat, outboundSeat, ... as sent';
COMMENT ON COLUMN public.legs.started_at IS 'When the leg began';
COMMENT ON COLUMN public.legs.rang_at IS 'When the agent''s side began to ring';
COMMENT ON COLUMN public.legs.answered_at IS 'When the agent answered';
COMMENT ON COLUMN public.legs.ended_at IS 'When the leg ended';
COMMENT ON COLUMN public.legs.end_status IS 'How the leg ended, TCCC''s EndStatusString; can differ from the session''s';
COMMENT ON COLUMN public.legs.recording_id IS 'The agent-side recording that the CDR names';
COMMENT ON COLUMN public.legs.skill_group_id IS 'The leg''s skill group';
COMMENT ON COLUMN public.legs.skill_group_name IS 'Its name';
COMMENT ON COLUMN public.legs.transfer_from IS 'The agent that the call came from';
COMMENT ON COLUMN public.legs.transfer_from_type IS 'What kind of participant that was';
COMMENT ON COLUMN public.legs.transfer_to IS 'The agent or number that the call went to';
COMMENT ON COLUMN public.legs.transfer_to_type IS 'What kind of participant that is';
COMMENT ON COLUMN public.legs.extra IS 'Every field of TCCC''s leg without a column';
CREATE VIEW public.kpi_daily AS
 WITH leg_totals AS (
         SELECT legs.sdk_app_id,
            legs.session_id,
            min(legs.answered_at) AS first_answered_at,
            sum(
                CASE
                    WHEN (legs.ended_at >= legs.answered_at) THEN EXTRACT(epoch FROM (legs.ended_at - legs.answered_at))
                    ELSE NULL::numeric
                END) AS talk_seconds
           FROM public.legs
          GROUP BY legs.sdk_app_id, legs.session_id
        ), calls AS (
         SELECT s.sdk_app_id,
            s.session_id,
            s.version,
            s.has_cdr,
            s.direction,
            s.call_type,
            s.caller,
            s.callee,
            s.customer_number,
            s.line_number,
            s.started_at,
            s.queued_at,
            s.rang_at,
            s.answered_at,
            s.ended_at,
            s.ivr_seconds,
            s.wait_seconds,
            s.talk_seconds,
            s.end_status,
            s.hung_up_by,
            s.skill_group_id,
            s.skill_group_name,
            s.agent_mail,
            s.agent_name,
            s.leg_count,
            s.recordings_expected,
            s.recordings_received,
            s.recordings_missing,
            s.voicemail_count,
            s.uui,
            s.user_remark,
            s.first_received_at,
            s.last_received_at,
            s.source,
            s.extra,
            s.document_digest,
            s.loaded_at,
            ((s.started_at AT TIME ZONE 'UTC'::text))::date AS day,
            ((s.direction = 'inbound'::text) AND (s.call_type IS DISTINCT FROM 'internal'::text)) AS is_inbound,
            ((s.direction = 'outbound'::text) AND (s.call_type IS DISTINCT FROM 'internal'::text) AND (s.call_type IS DISTINCT FROM 'predictive_outbound'::text)) AS is_outbound,
            ((s.direction = 'outbound'::text) AND (NOT (s.call_type IS DISTINCT FROM 'predictive_outbound'::text))) AS is_predictive,
            (COALESCE(s.answered_at, l.first_answered_at) IS NOT NULL) AS is_answered,
            l.talk_seconds AS leg_talk_seconds
           FROM (public.sessions s
             LEFT JOIN leg_totals l ON (((l.sdk_app_id = s.sdk_app_id) AND (l.session_id = s.session_id))))
          WHERE (s.started_at IS NOT NULL)
        )
 SELECT sdk_app_id,
    day,
    count(*) FILTER (WHERE is_inbound) AS offered,
    count(*) FILTER (WHERE (is_inbound AND (queued_at IS NOT NULL))) AS queued,
    count(*) FILTER (WHERE (is_inbound AND (queued_at IS NOT NULL) AND is_answered)) AS answered,
    count(*) FILTER (WHERE (is_inbound AND is_answered)) AS handled,
    count(*) FILTER (WHERE (is_inbound AND (queued_at IS NOT NULL) AND (end_status = ANY (ARRAY['waitingGiveUp'::text, 'ringingGiveUp'::text])))) AS abandoned,
    ((count(*) FILTER (WHERE (is_inbound AND (queued_at IS NOT NULL) AND (wait_seconds <= 20))))::double precision / (NULLIF(count(*) FILTER (WHERE (is_inbound AND (queued_at IS NOT NULL))), 0))::double precision) AS service_level_20s,
    (avg(wait_seconds) FILTER (WHERE (is_inbound AND (queued_at IS NOT NULL) AND (answered_at IS NOT NULL))))::double precision AS asa_seconds,
    ((sum(leg_talk_seconds) FILTER (WHERE (is_inbound AND is_answered)))::double precision / (NULLIF(count(*) FILTER (WHERE (is_inbound AND is_answered)), 0))::double precision) AS aht_without_acw_seconds,
    count(*) FILTER (WHERE is_outbound) AS outbound_calls,
    count(*) FILTER (WHERE (is_outbound AND (answered_at IS NOT NULL))) AS outbound_connected,
    ((count(*) FILTER (WHERE (is_outbound AND (answered_at IS NOT NULL))))::double precision / (NULLIF(count(*) FILTER (WHERE is_outbound), 0))::double precision) AS outbound_connect_rate,
    count(*) FILTER (WHERE is_predictive) AS predictive_calls,
    count(*) FILTER (WHERE (is_predictive AND (answered_at IS NOT NULL))) AS predictive_connected,
    (sum(recordings_expected))::bigint AS recordings_expected,
    (sum(recordings_received))::bigint AS recordings_received,
    (sum(recordings_missing))::bigint AS recordings_missing,
    max(loaded_at) AS as_of
   FROM calls
  GROUP BY sdk_app_id, day;
COMMENT ON VIEW public.kpi_daily IS 'The numbers of a day, by application and UTC day of the call''s start; every formula stands beside its column.';
CREATE TABLE public.skill_groups (
    sdk_app_id bigint NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    skill_group_id bigint NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    skill_group_name text,
    alias text,
    skill_group_type bigint,
    max_concurrency bigint,
    extra jsonb,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.skill_groups.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.skill_groups.asked_at IS 'The moment before the API was asked; the later answer counts';
COMMENT ON COLUMN public.skill_groups.skill_group_id IS 'TCCC''s SkillGroupId';
COMMENT ON COLUMN public.skill_groups.valid_from IS 'Since when: TCCC''s LastModifyTimestamp, or when the change was seen';
COMMENT ON COLUMN public.skill_groups.valid_to IS 'Until when (excluded); NULL = as it is now';
COMMENT ON COLUMN public.skill_groups.skill_group_name IS 'Its name';
COMMENT ON COLUMN public.skill_groups.alias IS 'Its other name';
COMMENT ON COLUMN public.skill_groups.skill_group_type IS '0 phone, 1 chat, 3 audio, 4 video';
COMMENT ON COLUMN public.skill_groups.max_concurrency IS 'Contacts that one agent may have at a time';
COMMENT ON COLUMN public.skill_groups.extra IS 'Every field of TCCC''s without a column';
COMMENT ON COLUMN public.skill_groups.loaded_at IS 'When the row was committed';
CREATE VIEW public.leg_names AS
 WITH agent_states AS (
         SELECT a_1.sdk_app_id,
            a_1.asked_at,
            a_1.agent_mail,
            a_1.valid_from,
            a_1.valid_to,
            a_1.agent_name,
            a_1.nick,
            a_1.agent_phone,
            a_1.staff_number,
            a_1.extension_number,
            a_1.role_id,
            a_1.skill_group_ids,
            a_1.extra,
            a_1.loaded_at,
            lead(a_1.valid_from) OVER (PARTITION BY a_1.sdk_app_id, a_1.agent_mail ORDER BY a_1.valid_from) AS next_from
           FROM public.agents a_1
        ), group_states AS (
         SELECT g_1.sdk_app_id,
            g_1.asked_at,
            g_1.skill_group_id,
            g_1.valid_from,
            g_1.valid_to,
            g_1.skill_group_name,
            g_1.alias,
            g_1.skill_group_type,
            g_1.max_concurrency,
            g_1.extra,
            g_1.loaded_at,
            lead(g_1.valid_from) OVER (PARTITION BY g_1.sdk_app_id, g_1.skill_group_id ORDER BY g_1.valid_from) AS next_from
           FROM public.skill_groups g_1
        )
 SELECT l.sdk_app_id,
    l.session_id,
    l.leg_sequence,
    l.agent_mail,
    a.agent_name,
    a.nick,
    a.staff_number,
    a.skill_group_ids AS agent_skill_group_ids,
    l.skill_group_id,
    COALESCE(g.skill_group_name, l.skill_group_name) AS skill_group_name,
    COALESCE(l.started_at, s.started_at) AS started_at
   FROM (((public.legs l
     JOIN public.sessions s ON (((s.sdk_app_id = l.sdk_app_id) AND (s.session_id = l.session_id))))
     LEFT JOIN agent_states a ON (((a.sdk_app_id = l.sdk_app_id) AND (a.agent_mail = l.agent_mail) AND (a.valid_from <= COALESCE(l.started_at, s.started_at)) AND ((a.valid_to IS NULL) OR (a.valid_to > COALESCE(l.started_at, s.started_at))) AND ((a.next_from IS NULL) OR (a.next_from > COALESCE(l.started_at, s.started_at))))))
     LEFT JOIN group_states g ON (((g.sdk_app_id = l.sdk_app_id) AND (g.skill_group_id = l.skill_group_id) AND (g.valid_from <= COALESCE(l.started_at, s.started_at)) AND ((g.valid_to IS NULL) OR (g.valid_to > COALESCE(l.started_at, s.started_at))) AND ((g.next_from IS NULL) OR (g.next_from > COALESCE(l.started_at, s.started_at))))));
COMMENT ON VIEW public.leg_names IS 'Every leg with the names that agent and skill group had when it began (ENRICH__DIRECTORY); what the CDR says is beside.';
CREATE VIEW public.missing_recordings AS
 SELECT r.sdk_app_id,
    r.session_id,
    r.recording_id,
    r.is_expected,
    r.received_at,
    r.absent_at,
    r.side,
    r.leg_sequence,
    r.endpoint_user,
    r.generated_at,
    r.url,
    r.custom_url,
    r.matched_by,
    r.pushed_recording_id,
    r.source,
    r.extra,
    s.has_cdr,
    s.direction,
    s.call_type,
    s.caller,
    s.callee,
    s.customer_number,
    s.line_number,
        CASE
            WHEN ((l.agent_mail IS NULL) AND (l.agent_phone IS NULL)) THEN s.agent_mail
            ELSE l.agent_mail
        END AS agent_mail,
    l.agent_phone,
        CASE
            WHEN ((l.agent_mail = s.agent_mail) OR ((l.agent_mail IS NULL) AND (l.agent_phone IS NULL))) THEN s.agent_name
            ELSE NULL::text
        END AS agent_name,
    s.skill_group_id,
    s.skill_group_name,
    s.started_at,
    s.answered_at,
    s.ended_at,
    s.last_received_at,
    s.end_status,
    (
        CASE
            WHEN (l.leg_sequence IS NULL) THEN s.answered_at
            ELSE l.answered_at
        END IS NOT NULL) AS leg_answered,
    (EXTRACT(epoch FROM (now() - COALESCE(s.ended_at, s.last_received_at))))::bigint AS age_seconds,
    ((EXTRACT(epoch FROM (now() - COALESCE(s.ended_at, s.last_received_at))))::bigint - 3600) AS overdue_seconds
   FROM ((public.recordings r
     JOIN public.sessions s ON (((s.sdk_app_id = r.sdk_app_id) AND (s.session_id = r.session_id))))
     LEFT JOIN public.legs l ON (((l.sdk_app_id = r.sdk_app_id) AND (l.session_id = r.session_id) AND (l.leg_sequence = r.leg_sequence))))
  WHERE (r.is_expected AND (r.received_at IS NULL) AND (r.absent_at IS NULL) AND (COALESCE(s.ended_at, s.last_received_at) < (now() - '01:00:00'::interval)));
COMMENT ON VIEW public.missing_recordings IS 'Recordings that a CDR names and that are overdue: not here, not known to be absent, and past the deadline.';
CREATE TABLE public.session_details (
    sdk_app_id bigint NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    session_id text NOT NULL,
    session_ended_at timestamp with time zone NOT NULL,
    is_known boolean NOT NULL,
    event_count bigint NOT NULL,
    loaded_at timestamp with time zone NOT NULL
);
COMMENT ON COLUMN public.session_details.sdk_app_id IS 'TCCC''s application id';
COMMENT ON COLUMN public.session_details.asked_at IS 'The moment before the API was asked; the later answer counts';
COMMENT ON COLUMN public.session_details.session_id IS 'TCCC''s SessionId';
COMMENT ON COLUMN public.session_details.session_ended_at IS 'End of the session, as it was known when it was asked for';
COMMENT ON COLUMN public.session_details.is_known IS 'The API knows the session';
COMMENT ON COLUMN public.session_details.event_count IS 'Rows of agent_events that are the session''s: those with a lower sequence';
COMMENT ON COLUMN public.session_details.loaded_at IS 'When the row was committed';
CREATE VIEW public.session_hold AS
 WITH steps AS (
         SELECT e.sdk_app_id,
            e.session_id,
            e.event_type,
            e.occurred_at,
            COALESCE(lead(e.occurred_at) OVER (PARTITION BY e.sdk_app_id, e.session_id, e.agent_mail,
                CASE
                    WHEN (e.event_type = ANY (ARRAY['StaffHold'::text, 'StaffUnhold'::text])) THEN 'hold'::text
                    ELSE 'mute'::text
                END ORDER BY e.event_sequence), s_1.ended_at, d_1.session_ended_at) AS lasted_to
           FROM ((public.agent_events e
             JOIN public.session_details d_1 ON (((d_1.sdk_app_id = e.sdk_app_id) AND (d_1.session_id = e.session_id) AND (e.event_sequence < d_1.event_count))))
             LEFT JOIN public.sessions s_1 ON (((s_1.sdk_app_id = e.sdk_app_id) AND (s_1.session_id = e.session_id))))
          WHERE ((e.event_type = ANY (ARRAY['StaffHold'::text, 'StaffUnhold'::text, 'StaffMute'::text, 'StaffUnmute'::text])) AND (e.occurred_at IS NOT NULL))
        ), lengths AS (
         SELECT steps.sdk_app_id,
            steps.session_id,
            steps.event_type,
                CASE
                    WHEN (steps.lasted_to > steps.occurred_at) THEN (EXTRACT(epoch FROM (steps.lasted_to - steps.occurred_at)))::bigint
                    ELSE (0)::bigint
                END AS seconds
           FROM steps
        ), totals AS (
         SELECT lengths.sdk_app_id,
            lengths.session_id,
            count(*) FILTER (WHERE (lengths.event_type = 'StaffHold'::text)) AS hold_count,
            (COALESCE(sum(lengths.seconds) FILTER (WHERE (lengths.event_type = 'StaffHold'::text)), (0)::numeric))::bigint AS hold_seconds,
            count(*) FILTER (WHERE (lengths.event_type = 'StaffMute'::text)) AS mute_count,
            (COALESCE(sum(lengths.seconds) FILTER (WHERE (lengths.event_type = 'StaffMute'::text)), (0)::numeric))::bigint AS mute_seconds
           FROM lengths
          GROUP BY lengths.sdk_app_id, lengths.session_id
        )
 SELECT d.sdk_app_id,
    d.session_id,
    COALESCE(t.hold_count, (0)::bigint) AS hold_count,
    COALESCE(t.hold_seconds, (0)::bigint) AS hold_seconds,
    COALESCE(t.mute_count, (0)::bigint) AS mute_count,
    COALESCE(t.mute_seconds, (0)::bigint) AS mute_seconds,
    s.talk_seconds,
        CASE
            WHEN (s.talk_seconds >= COALESCE(t.hold_seconds, (0)::bigint)) THEN (s.talk_seconds - COALESCE(t.hold_seconds, (0)::bigint))
            ELSE NULL::bigint
        END AS talk_without_hold_seconds,
    s.agent_mail,
    s.skill_group_id,
    s.started_at,
    s.ended_at,
    d.asked_at
   FROM ((public.session_details d
     LEFT JOIN totals t ON (((t.sdk_app_id = d.sdk_app_id) AND (t.session_id = d.session_id))))
     LEFT JOIN public.sessions s ON (((s.sdk_app_id = d.sdk_app_id) AND (s.session_id = d.session_id))))
  WHERE d.is_known;
COMMENT ON VIEW public.session_hold IS 'Hold and mute time of each session whose details were asked for (ENRICH__SESSION_DETAILS); others have no row.';
CREATE VIEW public.session_recordings AS
 SELECT r.sdk_app_id,
    r.session_id,
    r.recording_id,
    r.is_expected,
    r.received_at,
    r.absent_at,
    r.side,
    r.leg_sequence,
    r.endpoint_user,
    r.generated_at,
    r.url,
    r.custom_url,
    r.matched_by,
    r.pushed_recording_id,
    r.source,
    r.extra,
    COALESCE(r.custom_url, r.url) AS best_url,
    s.has_cdr,
    s.direction,
    s.call_type,
    s.caller,
    s.callee,
    s.customer_number,
    s.line_number,
        CASE
            WHEN ((l.agent_mail IS NULL) AND (l.agent_phone IS NULL)) THEN s.agent_mail
            ELSE l.agent_mail
        END AS agent_mail,
    l.agent_phone,
        CASE
            WHEN ((l.agent_mail = s.agent_mail) OR ((l.agent_mail IS NULL) AND (l.agent_phone IS NULL))) THEN s.agent_name
            ELSE NULL::text
        END AS agent_name,
    s.skill_group_id,
    s.skill_group_name,
    s.started_at,
    s.queued_at,
    s.rang_at,
    s.answered_at,
    s.ended_at,
    s.talk_seconds,
    s.end_status,
    s.hung_up_by,
    s.loaded_at
   FROM ((public.recordings r
     JOIN public.sessions s ON (((s.sdk_app_id = r.sdk_app_id) AND (s.session_id = r.session_id))))
     LEFT JOIN public.legs l ON (((l.sdk_app_id = r.sdk_app_id) AND (l.session_id = r.session_id) AND (l.leg_sequence = r.leg_sequence))));
COMMENT ON VIEW public.session_recordings IS 'One row per recording, with what its session says: the join that analysts would make by hand.';
INSERT INTO public.callweave_meta VALUES ('layout_version', '1');
INSERT INTO public.callweave_meta VALUES ('layout_digest', 'e05c7efa105323e986b464d590f285ed');
INSERT INTO public.callweave_offsets VALUES ('tccc.dead_letters', 0, 2, '2026-11-24 04:00:00+00');
INSERT INTO public.callweave_offsets VALUES ('tccc.sessions', 0, 7, '2026-11-24 04:00:00+00');
INSERT INTO public.dead_letters VALUES ('16c8f5e9cb6ce3c6176c87e92c6b003c', 'receive', 'UNDECODABLE', 'not JSON', NULL, NULL, NULL, '2026-11-24 03:55:00.123+00', 'tccc.dead_letters', 0, 0, '\x6e6f74206a736f6e', 8, 1, '2026-11-24 03:55:00.123+00', NULL, NULL);
INSERT INTO public.dead_letters VALUES ('73af73ff4a8de9dc89a036fedb4d3b1f', 'receive', 'UNDECODABLE', 'not JSON', NULL, NULL, NULL, '2026-11-24 03:55:00.123+00', 'tccc.dead_letters', 0, 1, '\x0027', 2, 1, '2026-11-24 03:55:00.123+00', NULL, NULL);
INSERT INTO public.legs VALUES (1400000001, 'whole', 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{"Priority": 1}');
INSERT INTO public.legs VALUES (1400000001, 'whole', 0, 'a@x', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.recordings VALUES (1400000001, 'whole', 'r-1', true, NULL, NULL, NULL, NULL, NULL, NULL, 'u', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.recordings VALUES (1400000001, 'whole', 'r-2', true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.sessions VALUES (1400000001, 'empty', 1, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, '2026-11-24 03:55:00.123+00', '2026-11-24 03:55:00.123+00', NULL, NULL, 'db77225fa8e0e1a379b7c7ecea102f07', '2026-11-24 04:00:00+00');
INSERT INTO public.sessions VALUES (1400000001, 'whole', 2, false, NULL, NULL, '+8613800000000', NULL, NULL, NULL, '2026-11-24 04:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 0, 0, 0, 0, NULL, NULL, '2026-11-24 03:55:00.123+00', '2026-11-24 03:55:00.123+00', NULL, '{"Field": "it''s"}', '6a9c63f1ed6d939e82ad17dfd3fe84f0', '2026-11-24 04:00:00+00');
INSERT INTO public.voicemails VALUES (1400000001, 'whole', 'v-1', NULL, NULL, 'w', NULL, NULL, NULL);
ALTER TABLE ONLY public.agent_events
    ADD CONSTRAINT agent_events_pkey PRIMARY KEY (sdk_app_id, session_id, event_sequence);
ALTER TABLE ONLY public.agent_status
    ADD CONSTRAINT agent_status_pkey PRIMARY KEY (sdk_app_id, agent_mail, changed_at, status_sequence);
ALTER TABLE ONLY public.agent_status_reads
    ADD CONSTRAINT agent_status_reads_pkey PRIMARY KEY (sdk_app_id, agent_mail);
ALTER TABLE ONLY public.agents
    ADD CONSTRAINT agents_pkey PRIMARY KEY (sdk_app_id, agent_mail, valid_from);
ALTER TABLE ONLY public.callweave_meta
    ADD CONSTRAINT callweave_meta_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.callweave_offsets
    ADD CONSTRAINT callweave_offsets_pkey PRIMARY KEY (topic, partition);
ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (dead_letter_id);
ALTER TABLE ONLY public.field_disagreements
    ADD CONSTRAINT field_disagreements_pkey PRIMARY KEY (sdk_app_id, session_id, field);
ALTER TABLE ONLY public.legs
    ADD CONSTRAINT legs_pkey PRIMARY KEY (sdk_app_id, session_id, leg_sequence);
ALTER TABLE ONLY public.reconcile_windows
    ADD CONSTRAINT reconcile_windows_pkey PRIMARY KEY (sdk_app_id, window_start);
ALTER TABLE ONLY public.recordings
    ADD CONSTRAINT recordings_pkey PRIMARY KEY (sdk_app_id, session_id, recording_id);
ALTER TABLE ONLY public.session_details
    ADD CONSTRAINT session_details_pkey PRIMARY KEY (sdk_app_id, session_id);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (sdk_app_id, session_id);
ALTER TABLE ONLY public.skill_groups
    ADD CONSTRAINT skill_groups_pkey PRIMARY KEY (sdk_app_id, skill_group_id, valid_from);
ALTER TABLE ONLY public.voicemails
    ADD CONSTRAINT voicemails_pkey PRIMARY KEY (sdk_app_id, session_id, voicemail_id);
