CREATE TABLE callweave_agent_events
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `session_id` String,
    `event_sequence` Int64,
    `occurred_at` Nullable(DateTime64(6, 'UTC')),
    `event_type` Nullable(String),
    `agent_mail` Nullable(String),
    `staff_number` Nullable(String),
    `extra` Nullable(String),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, session_id, event_sequence)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_agent_status
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `agent_mail` String,
    `changed_at` DateTime64(6, 'UTC'),
    `status_sequence` Int64,
    `status` Nullable(String),
    `session_id` Nullable(String),
    `reason` Nullable(String),
    `staff_number` Nullable(String),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, agent_mail, changed_at, status_sequence)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_agent_status_reads
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `agent_mail` String,
    `read_from` DateTime64(6, 'UTC'),
    `read_to` DateTime64(6, 'UTC'),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, agent_mail)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_agents
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `agent_mail` String,
    `valid_from` DateTime64(6, 'UTC'),
    `valid_to` Nullable(DateTime64(6, 'UTC')),
    `agent_name` Nullable(String),
    `nick` Nullable(String),
    `agent_phone` Nullable(String),
    `staff_number` Nullable(String),
    `extension_number` Nullable(String),
    `role_id` Nullable(Int64),
    `skill_group_ids` Nullable(String),
    `extra` Nullable(String),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, agent_mail, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_commits
(
    `topic` String,
    `partition` Int64,
    `next_offset` Int64,
    `updated_at` DateTime64(6, 'UTC'),
    `commit_number` UInt64
)
ENGINE = ReplacingMergeTree(commit_number)
ORDER BY (topic, partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_meta
(
    `key` String,
    `value` String,
    `noted_at` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY (key)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_session_details
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `session_id` String,
    `session_ended_at` DateTime64(6, 'UTC'),
    `is_known` Bool,
    `event_count` Int64,
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, session_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_sessions
(
    `sdk_app_id` Int64,
    `session_id` String,
    `version` Int64,
    `has_cdr` Bool,
    `direction` Nullable(String),
    `call_type` Nullable(String),
    `caller` Nullable(String),
    `callee` Nullable(String),
    `customer_number` Nullable(String),
    `line_number` Nullable(String),
    `started_at` Nullable(DateTime64(6, 'UTC')),
    `queued_at` Nullable(DateTime64(6, 'UTC')),
    `rang_at` Nullable(DateTime64(6, 'UTC')),
    `answered_at` Nullable(DateTime64(6, 'UTC')),
    `ended_at` Nullable(DateTime64(6, 'UTC')),
    `ivr_seconds` Nullable(Int64),
    `wait_seconds` Nullable(Int64),
    `talk_seconds` Nullable(Int64),
    `end_status` Nullable(String),
    `hung_up_by` Nullable(String),
    `skill_group_id` Nullable(Int64),
    `skill_group_name` Nullable(String),
    `agent_mail` Nullable(String),
    `agent_name` Nullable(String),
    `leg_count` Int64,
    `recordings_expected` Int64,
    `recordings_received` Int64,
    `recordings_missing` Int64,
    `voicemail_count` Int64,
    `uui` Nullable(String),
    `user_remark` Nullable(String),
    `first_received_at` DateTime64(6, 'UTC'),
    `last_received_at` DateTime64(6, 'UTC'),
    `source` Nullable(String),
    `extra` Nullable(String),
    `erasure` Nullable(String),
    `document_digest` String,
    `loaded_at` DateTime64(6, 'UTC'),
    `legs.leg_sequence` Array(Int64),
    `legs.agent_mail` Array(Nullable(String)),
    `legs.agent_phone` Array(Nullable(String)),
    `legs.leg_type` Array(Nullable(String)),
    `legs.started_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `legs.rang_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `legs.answered_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `legs.ended_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `legs.end_status` Array(Nullable(String)),
    `legs.recording_id` Array(Nullable(String)),
    `legs.skill_group_id` Array(Nullable(Int64)),
    `legs.skill_group_name` Array(Nullable(String)),
    `legs.transfer_from` Array(Nullable(String)),
    `legs.transfer_from_type` Array(Nullable(String)),
    `legs.transfer_to` Array(Nullable(String)),
    `legs.transfer_to_type` Array(Nullable(String)),
    `legs.extra` Array(Nullable(String)),
    `recordings.recording_id` Array(String),
    `recordings.is_expected` Array(Bool),
    `recordings.received_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `recordings.absent_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `recordings.side` Array(Nullable(String)),
    `recordings.leg_sequence` Array(Nullable(Int64)),
    `recordings.endpoint_user` Array(Nullable(String)),
    `recordings.generated_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `recordings.url` Array(Nullable(String)),
    `recordings.custom_url` Array(Nullable(String)),
    `recordings.matched_by` Array(Nullable(String)),
    `recordings.pushed_recording_id` Array(Nullable(String)),
    `recordings.source` Array(Nullable(String)),
    `recordings.extra` Array(Nullable(String)),
    `voicemails.voicemail_id` Array(String),
    `voicemails.endpoint_user` Array(Nullable(String)),
    `voicemails.generated_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `voicemails.url` Array(Nullable(String)),
    `voicemails.received_at` Array(Nullable(DateTime64(6, 'UTC'))),
    `voicemails.source` Array(Nullable(String)),
    `voicemails.extra` Array(Nullable(String)),
    `field_disagreements.field` Array(String),
    `field_disagreements.pushed_value` Array(String),
    `field_disagreements.api_value` Array(String),
    `field_disagreements.pushed_at` Array(DateTime64(6, 'UTC')),
    `field_disagreements.api_asked_at` Array(DateTime64(6, 'UTC')),
    `session_versions.version` Array(Int64),
    `session_versions.received_at` Array(DateTime64(6, 'UTC')),
    `session_versions.report_kind` Array(String),
    `session_versions.report_source` Array(String),
    `session_versions.report_digest` Array(String),
    `session_versions.push_id` Array(Nullable(String)),
    `session_versions.is_repeat` Array(Bool),
    `session_versions.changed` Array(Nullable(String)),
    `document_rank` UInt256 MATERIALIZED bitOr(bitShiftLeft(toUInt256(version), 128), toUInt256(reinterpretAsUInt128(reverse(unhex(document_digest)))))
)
ENGINE = ReplacingMergeTree(document_rank)
ORDER BY (sdk_app_id, session_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_skill_groups
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `skill_group_id` Int64,
    `valid_from` DateTime64(6, 'UTC'),
    `valid_to` Nullable(DateTime64(6, 'UTC')),
    `skill_group_name` Nullable(String),
    `alias` Nullable(String),
    `skill_group_type` Nullable(Int64),
    `max_concurrency` Nullable(Int64),
    `extra` Nullable(String),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, skill_group_id, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_windows
(
    `sdk_app_id` Int64,
    `window_start` DateTime64(6, 'UTC'),
    `window_end` DateTime64(6, 'UTC'),
    `asked_at` DateTime64(6, 'UTC'),
    `total_count` Int64,
    `row_count` Int64,
    `unusable_count` Int64,
    `is_whole` Bool,
    `is_final` Bool,
    `loaded_at` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(asked_at)
ORDER BY (sdk_app_id, window_start)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_legal_holds
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `session_id` String,
    `is_held` Bool,
    `reason` Nullable(String),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, session_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_letters
(
    `dead_letter_id` String,
    `stage` String,
    `reason` String,
    `detail` String,
    `action` Nullable(String),
    `headers` Nullable(String),
    `received_at` Nullable(DateTime64(6, 'UTC')),
    `occurred_at` DateTime64(6, 'UTC'),
    `topic` Nullable(String),
    `partition` Nullable(Int64),
    `offset` Nullable(Int64),
    `raw` String,
    `raw_bytes_count` Int64,
    `stored_at` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(stored_at)
ORDER BY (dead_letter_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_recording_files
(
    `sdk_app_id` Int64,
    `asked_at` DateTime64(6, 'UTC'),
    `session_id` String,
    `file_kind` String,
    `recording_id` String,
    `status` String,
    `problem` Nullable(String),
    `path` Nullable(String),
    `sha256` Nullable(String),
    `size_bytes` Nullable(Int64),
    `content_type` Nullable(String),
    `duration_seconds` Nullable(Float64),
    `fetched_from` Nullable(String),
    `attempts_count` Int64,
    `generated_at` Nullable(DateTime64(6, 'UTC')),
    `first_seen_at` DateTime64(6, 'UTC'),
    `next_attempt_at` Nullable(DateTime64(6, 'UTC')),
    `stored_at` Nullable(DateTime64(6, 'UTC')),
    `deleted_at` Nullable(DateTime64(6, 'UTC')),
    `loaded_at` DateTime64(6, 'UTC'),
    `keyed_rank` UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(asked_at)), 64), toUInt128(bitNot(toUInt64(toUnixTimestamp64Micro(loaded_at)))))
)
ENGINE = ReplacingMergeTree(keyed_rank)
ORDER BY (sdk_app_id, session_id, file_kind, recording_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE TABLE callweave_sightings
(
    `dead_letter_id` String,
    `topic` String,
    `partition` Int64,
    `offset` Int64,
    `seen_count` Int64,
    `last_seen_at` DateTime64(6, 'UTC'),
    `replayed_at` Nullable(DateTime64(6, 'UTC')),
    `replay_outcome` Nullable(String),
    `stored_at` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(stored_at)
ORDER BY (dead_letter_id, topic, partition, offset, last_seen_at, ifNull(replayed_at, toDateTime64(0, 6, 'UTC')))
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192
;;
CREATE VIEW legs
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `leg_sequence` Int64 COMMENT 'TCCC\'s Sequence, or the leg\'s position where Sequence cannot tell legs apart',
    `agent_mail` Nullable(String) COMMENT 'The agent\'s e-mail',
    `agent_phone` Nullable(String) COMMENT 'The agent\'s phone, where the leg is a phone',
    `leg_type` Nullable(String) COMMENT 'staffSeat, staffPhoneSeat, miniProgramSeat, outboundSeat, ... as sent',
    `started_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the leg began',
    `rang_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the agent\'s side began to ring',
    `answered_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the agent answered',
    `ended_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the leg ended',
    `end_status` Nullable(String) COMMENT 'How the leg ended, TCCC\'s EndStatusString; can differ from the session\'s',
    `recording_id` Nullable(String) COMMENT 'The agent-side recording that the CDR names',
    `skill_group_id` Nullable(Int64) COMMENT 'The leg\'s skill group',
    `skill_group_name` Nullable(String) COMMENT 'Its name',
    `transfer_from` Nullable(String) COMMENT 'The agent that the call came from',
    `transfer_from_type` Nullable(String) COMMENT 'What kind of participant that was',
    `transfer_to` Nullable(String) COMMENT 'The agent or number that the call went to',
    `transfer_to_type` Nullable(String) COMMENT 'What kind of participant that is',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s leg without a column'
)
COMMENT 'One agent-side stretch of a session; transfers have several'
AS SELECT
    sdk_app_id,
    session_id,
    item.leg_sequence AS leg_sequence,
    item.agent_mail AS agent_mail,
    item.agent_phone AS agent_phone,
    item.leg_type AS leg_type,
    item.started_at AS started_at,
    item.rang_at AS rang_at,
    item.answered_at AS answered_at,
    item.ended_at AS ended_at,
    item.end_status AS end_status,
    item.recording_id AS recording_id,
    item.skill_group_id AS skill_group_id,
    item.skill_group_name AS skill_group_name,
    item.transfer_from AS transfer_from,
    item.transfer_from_type AS transfer_from_type,
    item.transfer_to AS transfer_to,
    item.transfer_to_type AS transfer_to_type,
    item.extra AS extra
FROM callweave_sessions
FINAL
ARRAY JOIN legs AS item
;;
CREATE VIEW recordings
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `recording_id` String COMMENT 'The CDR\'s id where named, else the pushed id, `<RecordId>~<endpoint>` if shared',
    `is_expected` Bool COMMENT 'A CDR named it',
    `received_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'First receipt of its first report; NULL = named but not here',
    `absent_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the API first said that there is none',
    `side` Nullable(String) COMMENT 'Whose side was recorded; NULL where nobody named it',
    `leg_sequence` Nullable(Int64) COMMENT 'The leg that named it',
    `endpoint_user` Nullable(String) COMMENT 'Who was recorded, as pushed: a phone number or an agent\'s e-mail',
    `generated_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When TCCC made the recording',
    `url` Nullable(String) COMMENT 'The address as pushed; TCCC keeps the audio three months',
    `custom_url` Nullable(String) COMMENT 'The permanent address in the customer\'s own storage',
    `matched_by` Nullable(String) COMMENT 'How it met the name in the CDR',
    `pushed_recording_id` Nullable(String) COMMENT 'RecordId as pushed; derived from the content where none was',
    `source` Nullable(String) COMMENT 'push, api or push+api; NULL where nothing has come',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s notice without a column'
)
COMMENT 'One recording that a CDR named or that came'
AS SELECT
    sdk_app_id,
    session_id,
    item.recording_id AS recording_id,
    item.is_expected AS is_expected,
    item.received_at AS received_at,
    item.absent_at AS absent_at,
    item.side AS side,
    item.leg_sequence AS leg_sequence,
    item.endpoint_user AS endpoint_user,
    item.generated_at AS generated_at,
    item.url AS url,
    item.custom_url AS custom_url,
    item.matched_by AS matched_by,
    item.pushed_recording_id AS pushed_recording_id,
    item.source AS source,
    item.extra AS extra
FROM callweave_sessions
FINAL
ARRAY JOIN recordings AS item
;;
CREATE VIEW sessions
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `version` Int64 COMMENT 'Grows with knowledge only; the highest version replaces a session whole',
    `has_cdr` Bool COMMENT 'A CDR has come, pushed or from the API',
    `direction` Nullable(String) COMMENT 'inbound, outbound, else TCCC\'s number as text',
    `call_type` Nullable(String) COMMENT 'outbound, inbound, audio_inbound, predictive_outbound, internal, else TCCC\'s number as text',
    `caller` Nullable(String) COMMENT 'The calling party, as sent',
    `callee` Nullable(String) COMMENT 'The called party, as sent',
    `customer_number` Nullable(String) COMMENT 'Caller (inbound) or callee (outbound); NULL for internal calls',
    `line_number` Nullable(String) COMMENT 'The company\'s number: the other one',
    `started_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'Start of the whole session',
    `queued_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the customer entered the queue',
    `rang_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'Inbound: the agent\'s side rings; outbound: the customer\'s',
    `answered_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'Inbound: the agent answered; outbound: the customer did',
    `ended_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'End of the whole session',
    `ivr_seconds` Nullable(Int64) COMMENT 'TCCC\'s IVRDuration: seconds in the IVR',
    `wait_seconds` Nullable(Int64) COMMENT 'Answered, else ended, minus queued',
    `talk_seconds` Nullable(Int64) COMMENT 'Ended minus answered; hold time included',
    `end_status` Nullable(String) COMMENT 'How the session ended: TCCC\'s EndStatusString',
    `hung_up_by` Nullable(String) COMMENT 'user, seat or system, as sent',
    `skill_group_id` Nullable(Int64) COMMENT 'The queue\'s skill group; for outbound a rule-based pick',
    `skill_group_name` Nullable(String) COMMENT 'Its name',
    `agent_mail` Nullable(String) COMMENT 'The (last) agent\'s e-mail',
    `agent_name` Nullable(String) COMMENT 'The (last) agent\'s name',
    `leg_count` Int64 COMMENT 'Number of legs',
    `recordings_expected` Int64 COMMENT 'Recordings that the CDR names',
    `recordings_received` Int64 COMMENT 'Recordings that have come, named or not',
    `recordings_missing` Int64 COMMENT 'Named, not here, and not known to be absent',
    `voicemail_count` Int64 COMMENT 'Number of voicemails',
    `uui` Nullable(String) COMMENT 'Data passed along at dial time',
    `user_remark` Nullable(String) COMMENT 'The remark on the customer',
    `first_received_at` DateTime64(6, 'UTC') COMMENT 'First receipt of any report about the session',
    `last_received_at` DateTime64(6, 'UTC') COMMENT 'Last receipt of any',
    `source` Nullable(String) COMMENT 'Where its CDR came from: push, api or push+api',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s CDR without a column',
    `erasure` Nullable(String) COMMENT 'What erasing a person did to the session; NULL where nothing was erased',
    `document_digest` String COMMENT 'Orders documents of equal version',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed: the watermark for incremental models'
)
COMMENT 'One customer contact from start to end'
AS SELECT
    sdk_app_id,
    session_id,
    version,
    has_cdr,
    direction,
    call_type,
    caller,
    callee,
    customer_number,
    line_number,
    started_at,
    queued_at,
    rang_at,
    answered_at,
    ended_at,
    ivr_seconds,
    wait_seconds,
    talk_seconds,
    end_status,
    hung_up_by,
    skill_group_id,
    skill_group_name,
    agent_mail,
    agent_name,
    leg_count,
    recordings_expected,
    recordings_received,
    recordings_missing,
    voicemail_count,
    uui,
    user_remark,
    first_received_at,
    last_received_at,
    source,
    extra,
    erasure,
    document_digest,
    loaded_at
FROM callweave_sessions
FINAL
;;
CREATE VIEW agent_events
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `event_sequence` Int64 COMMENT 'Its place among the session\'s events, from 0, by time',
    `occurred_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it happened; TCCC tells whole seconds',
    `event_type` Nullable(String) COMMENT 'StaffHold, StaffUnhold, StaffMute, StaffUnmute, as sent',
    `agent_mail` Nullable(String) COMMENT 'The agent\'s e-mail',
    `staff_number` Nullable(String) COMMENT 'The agent\'s number',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s event without a column',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One thing that an agent did during a session: held or muted it, or ended that'
AS SELECT
    sdk_app_id,
    asked_at,
    session_id,
    event_sequence,
    occurred_at,
    event_type,
    agent_mail,
    staff_number,
    extra,
    loaded_at
FROM callweave_agent_events
FINAL
;;
CREATE VIEW agent_status
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `agent_mail` String COMMENT 'The agent\'s e-mail, as the directory has it',
    `changed_at` DateTime64(6, 'UTC') COMMENT 'Since when; TCCC tells whole seconds',
    `status_sequence` Int64 COMMENT 'Its place among the changes of that second, from 0',
    `status` Nullable(String) COMMENT 'free, busy, rest, notReady, afterCallWork, offline, as sent',
    `session_id` Nullable(String) COMMENT 'The session that it is about',
    `reason` Nullable(String) COMMENT 'The reason that the agent gave',
    `staff_number` Nullable(String) COMMENT 'The agent\'s number',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One change of what an agent is doing'
AS SELECT
    sdk_app_id,
    asked_at,
    agent_mail,
    changed_at,
    status_sequence,
    status,
    session_id,
    reason,
    staff_number,
    loaded_at
FROM callweave_agent_status
FINAL
;;
CREATE VIEW agent_status_reads
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `agent_mail` String COMMENT 'The agent\'s e-mail',
    `read_from` DateTime64(6, 'UTC') COMMENT 'Where the reading of the agent\'s history began',
    `read_to` DateTime64(6, 'UTC') COMMENT 'How far it went',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'How far one agent\'s status is known: what comes after, nobody asked for yet'
AS SELECT
    sdk_app_id,
    asked_at,
    agent_mail,
    read_from,
    read_to,
    loaded_at
FROM callweave_agent_status_reads
FINAL
;;
CREATE VIEW agents
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `agent_mail` String COMMENT 'The agent\'s e-mail: what CDRs call the agent by',
    `valid_from` DateTime64(6, 'UTC') COMMENT 'Since when: TCCC\'s LastModifyTimestamp, or when the change was seen',
    `valid_to` Nullable(DateTime64(6, 'UTC')) COMMENT 'Until when (excluded); NULL = as it is now',
    `agent_name` Nullable(String) COMMENT 'The agent\'s name',
    `nick` Nullable(String) COMMENT 'The name that customers see',
    `agent_phone` Nullable(String) COMMENT 'The agent\'s phone',
    `staff_number` Nullable(String) COMMENT 'The agent\'s number',
    `extension_number` Nullable(String) COMMENT 'The agent\'s extension',
    `role_id` Nullable(Int64) COMMENT '1 administrator, 2 quality inspector, 3 agent, else a role of your own',
    `skill_group_ids` Nullable(String) COMMENT 'Skill groups that the agent serves: ids, sorted, commas between',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s without a column',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One agent as the directory had it from one moment to another'
AS SELECT
    sdk_app_id,
    asked_at,
    agent_mail,
    valid_from,
    valid_to,
    agent_name,
    nick,
    agent_phone,
    staff_number,
    extension_number,
    role_id,
    skill_group_ids,
    extra,
    loaded_at
FROM callweave_agents
FINAL
;;
CREATE VIEW field_disagreements
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `field` String COMMENT 'TCCC\'s field; of an agent `SeatUser.Mail`, of a leg `ServeParticipants[1].Mail`',
    `pushed_value` String COMMENT 'What was pushed, as text; its first 1,000 characters',
    `api_value` String COMMENT 'What the API says, as text; its first 1,000 characters',
    `pushed_at` DateTime64(6, 'UTC') COMMENT 'First receipt of the newest CDR that was pushed',
    `api_asked_at` DateTime64(6, 'UTC') COMMENT 'When the API first gave its newest answer'
)
COMMENT 'One field that a push and the API fill differently; what counts as different is in docs/completeness.md'
AS SELECT
    sdk_app_id,
    session_id,
    item.field AS field,
    item.pushed_value AS pushed_value,
    item.api_value AS api_value,
    item.pushed_at AS pushed_at,
    item.api_asked_at AS api_asked_at
FROM callweave_sessions
FINAL
ARRAY JOIN field_disagreements AS item
;;
CREATE VIEW reconcile_windows
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `window_start` DateTime64(6, 'UTC') COMMENT 'The first moment of the hour',
    `window_end` DateTime64(6, 'UTC') COMMENT 'How far the hour was read; short of its end while it lasts',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before its first page was asked for',
    `total_count` Int64 COMMENT 'TotalCount, as the API gave it',
    `row_count` Int64 COMMENT 'Sessions that came',
    `unusable_count` Int64 COMMENT 'Rows that are in no table, but dead letters of stage reconcile',
    `is_whole` Bool COMMENT 'The count stood still, and as many sessions came',
    `is_final` Bool COMMENT 'It is not read again by itself',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One hour of one application, as TCCC\'s API was last asked for it'
AS SELECT
    sdk_app_id,
    window_start,
    window_end,
    asked_at,
    total_count,
    row_count,
    unusable_count,
    is_whole,
    is_final,
    loaded_at
FROM callweave_windows
FINAL
;;
CREATE VIEW session_details
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `session_ended_at` DateTime64(6, 'UTC') COMMENT 'End of the session, as it was known when it was asked for',
    `is_known` Bool COMMENT 'The API knows the session',
    `event_count` Int64 COMMENT 'Rows of agent_events that are the session\'s: those with a lower sequence',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'That DescribeSessionDetail was asked for one session, and how much it told'
AS SELECT
    sdk_app_id,
    asked_at,
    session_id,
    session_ended_at,
    is_known,
    event_count,
    loaded_at
FROM callweave_session_details
FINAL
;;
CREATE VIEW session_versions
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `version` Int64 COMMENT 'The session\'s version once the receipt was known',
    `received_at` DateTime64(6, 'UTC') COMMENT 'The receipt that made the version',
    `report_kind` String COMMENT 'What was reported: cdr, record or voicemail',
    `report_source` String COMMENT 'push or api',
    `report_digest` String COMMENT 'Identifies the report\'s content; a retry has the same',
    `push_id` Nullable(String) COMMENT 'TCCC\'s id of the receipt; NULL from the ninth receipt of a report on',
    `is_repeat` Bool COMMENT 'The report was known: nothing but version and last_received_at moved',
    `changed` Nullable(String) COMMENT 'Columns that changed: of sessions with `from` and `to`, or {} where they may say something of a person; of its children as `table.column`; NULL where none did'
)
COMMENT 'One version of a session: which receipt made it and what changed; empty unless WAREHOUSE__HISTORY is on'
AS SELECT
    sdk_app_id,
    session_id,
    item.version AS version,
    item.received_at AS received_at,
    item.report_kind AS report_kind,
    item.report_source AS report_source,
    item.report_digest AS report_digest,
    item.push_id AS push_id,
    item.is_repeat AS is_repeat,
    item.changed AS changed
FROM callweave_sessions
FINAL
ARRAY JOIN session_versions AS item
;;
CREATE VIEW skill_groups
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `skill_group_id` Int64 COMMENT 'TCCC\'s SkillGroupId',
    `valid_from` DateTime64(6, 'UTC') COMMENT 'Since when: TCCC\'s LastModifyTimestamp, or when the change was seen',
    `valid_to` Nullable(DateTime64(6, 'UTC')) COMMENT 'Until when (excluded); NULL = as it is now',
    `skill_group_name` Nullable(String) COMMENT 'Its name',
    `alias` Nullable(String) COMMENT 'Its other name',
    `skill_group_type` Nullable(Int64) COMMENT '0 phone, 1 chat, 3 audio, 4 video',
    `max_concurrency` Nullable(Int64) COMMENT 'Contacts that one agent may have at a time',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s without a column',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One skill group as the directory had it from one moment to another'
AS SELECT
    sdk_app_id,
    asked_at,
    skill_group_id,
    valid_from,
    valid_to,
    skill_group_name,
    alias,
    skill_group_type,
    max_concurrency,
    extra,
    loaded_at
FROM callweave_skill_groups
FINAL
;;
CREATE VIEW voicemails
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `voicemail_id` String COMMENT 'Digest of time and URL path; `api:<n>` where only the API knows of it',
    `endpoint_user` Nullable(String) COMMENT 'Who left it',
    `generated_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was made',
    `url` Nullable(String) COMMENT 'The address as pushed',
    `received_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'First receipt',
    `source` Nullable(String) COMMENT 'push or api',
    `extra` Nullable(String) COMMENT 'Every field of TCCC\'s notice without a column'
)
COMMENT 'One message that a caller left'
AS SELECT
    sdk_app_id,
    session_id,
    item.voicemail_id AS voicemail_id,
    item.endpoint_user AS endpoint_user,
    item.generated_at AS generated_at,
    item.url AS url,
    item.received_at AS received_at,
    item.source AS source,
    item.extra AS extra
FROM callweave_sessions
FINAL
ARRAY JOIN voicemails AS item
;;
CREATE VIEW callweave_offsets
(
    `topic` String COMMENT 'Kafka topic',
    `partition` Int64 COMMENT 'Its partition',
    `next_offset` Int64 COMMENT 'The first record whose rows are not here yet',
    `updated_at` DateTime64(6, 'UTC') COMMENT 'When it was stored: the latest is the latest commit'
)
COMMENT 'How far the loader is in each partition: stored in the rows\' own transaction'
AS SELECT
    topic,
    partition,
    next_offset,
    updated_at
FROM callweave_commits
FINAL
;;
CREATE VIEW dead_letters
(
    `dead_letter_id` String COMMENT 'Digest of stage, reason and raw',
    `stage` String COMMENT 'Where the record stopped: receive, absorb, load',
    `reason` String COMMENT 'Why, from a closed list',
    `detail` String COMMENT 'What exactly was wrong',
    `action` Nullable(String) COMMENT 'TCCC\'s action, as sent',
    `headers` Nullable(String) COMMENT 'The request\'s headers, credentials removed',
    `received_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the push was received',
    `occurred_at` DateTime64(6, 'UTC') COMMENT 'When it was found unusable',
    `topic` Nullable(String) COMMENT 'Where its first record stands',
    `partition` Nullable(Int64) COMMENT 'Partition of that',
    `offset` Nullable(Int64) COMMENT 'Offset of that',
    `raw` String COMMENT 'The body as received, before any decoding',
    `raw_bytes_count` Int64 COMMENT 'Its whole length, also where raw was cut short',
    `seen_count` Int64 COMMENT 'Times seen: at least the answered deliveries',
    `last_seen_at` DateTime64(6, 'UTC') COMMENT 'Last of them',
    `replayed_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was last replayed',
    `replay_outcome` Nullable(String) COMMENT 'What came of that'
)
COMMENT 'One record that could not be used, kept whole'
AS SELECT
    l.dead_letter_id AS dead_letter_id,
    l.stage AS stage,
    l.reason AS reason,
    l.detail AS detail,
    l.action AS action,
    l.headers AS headers,
    l.received_at AS received_at,
    l.occurred_at AS occurred_at,
    l.topic AS topic,
    l.partition AS partition,
    l.offset AS offset,
    l.raw AS raw,
    l.raw_bytes_count AS raw_bytes_count,
    s.seen_count AS seen_count,
    s.last_seen_at AS last_seen_at,
    s.replayed_at AS replayed_at,
    s.replay_outcome AS replay_outcome
FROM callweave_letters AS l
FINAL
INNER JOIN
(
    SELECT
        g.dead_letter_id AS dead_letter_id,
        greatest(sum(g.seen_count), 1) AS seen_count,
        max(g.last_seen_at) AS last_seen_at,
        max(g.replayed_at) AS replayed_at,
        argMaxIf(g.replay_outcome, (assumeNotNull(g.replayed_at), g.stored_at, g.offset), g.replayed_at IS NOT NULL) AS replay_outcome
    FROM callweave_sightings AS g
    FINAL
    GROUP BY g.dead_letter_id
) AS s ON s.dead_letter_id = l.dead_letter_id
;;
CREATE VIEW legal_holds
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `is_held` Bool COMMENT 'Whether it is held now',
    `reason` Nullable(String) COMMENT 'Why, as whoever asked for it wrote',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One session whose recordings may not be deleted, or may again'
AS SELECT
    sdk_app_id,
    asked_at,
    session_id,
    is_held,
    reason,
    loaded_at
FROM callweave_legal_holds
FINAL
;;
CREATE VIEW missing_recordings
(
    `sdk_app_id` Int64,
    `session_id` String,
    `recording_id` String,
    `is_expected` Bool,
    `received_at` Nullable(DateTime64(6, 'UTC')),
    `absent_at` Nullable(DateTime64(6, 'UTC')),
    `side` Nullable(String),
    `leg_sequence` Nullable(Int64),
    `endpoint_user` Nullable(String),
    `generated_at` Nullable(DateTime64(6, 'UTC')),
    `url` Nullable(String),
    `custom_url` Nullable(String),
    `matched_by` Nullable(String),
    `pushed_recording_id` Nullable(String),
    `source` Nullable(String),
    `extra` Nullable(String),
    `has_cdr` Bool,
    `direction` Nullable(String),
    `call_type` Nullable(String),
    `caller` Nullable(String),
    `callee` Nullable(String),
    `customer_number` Nullable(String),
    `line_number` Nullable(String),
    `agent_mail` Nullable(String),
    `agent_phone` Nullable(String),
    `agent_name` Nullable(String),
    `skill_group_id` Nullable(Int64),
    `skill_group_name` Nullable(String),
    `started_at` Nullable(DateTime64(6, 'UTC')),
    `answered_at` Nullable(DateTime64(6, 'UTC')),
    `ended_at` Nullable(DateTime64(6, 'UTC')),
    `last_received_at` DateTime64(6, 'UTC'),
    `end_status` Nullable(String),
    `leg_answered` Nullable(Bool),
    `age_seconds` Nullable(Int64),
    `overdue_seconds` Nullable(Int64)
)
COMMENT 'Recordings that a CDR names and that are overdue: not here, not known to be absent, and past the deadline.'
AS SELECT
    r.sdk_app_id AS sdk_app_id,
    r.session_id AS session_id,
    r.recording_id AS recording_id,
    r.is_expected AS is_expected,
    r.received_at AS received_at,
    r.absent_at AS absent_at,
    r.side AS side,
    r.leg_sequence AS leg_sequence,
    r.endpoint_user AS endpoint_user,
    r.generated_at AS generated_at,
    r.url AS url,
    r.custom_url AS custom_url,
    r.matched_by AS matched_by,
    r.pushed_recording_id AS pushed_recording_id,
    r.source AS source,
    r.extra AS extra,
    s.has_cdr AS has_cdr,
    s.direction AS direction,
    s.call_type AS call_type,
    s.caller AS caller,
    s.callee AS callee,
    s.customer_number AS customer_number,
    s.line_number AS line_number,
    multiIf((l.agent_mail IS NULL) AND (l.agent_phone IS NULL), s.agent_mail, l.agent_mail) AS agent_mail,
    l.agent_phone AS agent_phone,
    multiIf((l.agent_mail = s.agent_mail) OR ((l.agent_mail IS NULL) AND (l.agent_phone IS NULL)), s.agent_name, NULL) AS agent_name,
    s.skill_group_id AS skill_group_id,
    s.skill_group_name AS skill_group_name,
    s.started_at AS started_at,
    s.answered_at AS answered_at,
    s.ended_at AS ended_at,
    s.last_received_at AS last_received_at,
    s.end_status AS end_status,
    CAST((multiIf(r.leg_sequence IS NULL, s.answered_at, l.answered_at)) IS NOT NULL, 'Nullable(Bool)') AS leg_answered,
    CAST(dateDiff('second', coalesce(s.ended_at, s.last_received_at), now64(6, 'UTC')), 'Nullable(Int64)') AS age_seconds,
    CAST(dateDiff('second', coalesce(s.ended_at, s.last_received_at), now64(6, 'UTC')), 'Nullable(Int64)') - 3600 AS overdue_seconds
FROM recordings AS r
INNER JOIN sessions AS s ON (s.sdk_app_id = r.sdk_app_id) AND (s.session_id = r.session_id)
LEFT JOIN legs AS l ON (l.sdk_app_id = r.sdk_app_id) AND (l.session_id = r.session_id) AND (l.leg_sequence = r.leg_sequence)
WHERE r.is_expected AND (r.received_at IS NULL) AND (r.absent_at IS NULL) AND (coalesce(s.ended_at, s.last_received_at) < (now64(6, 'UTC') - toIntervalSecond(3600)))
;;
CREATE VIEW recording_files
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `asked_at` DateTime64(6, 'UTC') COMMENT 'The moment before the API was asked; the later answer counts',
    `session_id` String COMMENT 'TCCC\'s SessionId',
    `file_kind` String COMMENT 'recording (the id is one of `recordings`) or voicemail (of `voicemails`)',
    `recording_id` String COMMENT 'recording_id of `recordings`, or voicemail_id of `voicemails`',
    `status` String COMMENT 'waiting (still tried), stored, absent (the API says that there is none), lost (given up), refused (its address may not be fetched), replaced (it has another id now), deleted (kept long enough), erased',
    `problem` Nullable(String) COMMENT 'Why the last try failed; no address stands in it',
    `path` Nullable(String) COMMENT 'Where the file is, below ARCHIVER__STORE; made of its content, so equal files are one',
    `sha256` Nullable(String) COMMENT 'SHA-256 of the file, in hexadecimal',
    `size_bytes` Nullable(Int64) COMMENT 'Size of the file',
    `content_type` Nullable(String) COMMENT 'What the bytes are, by their own account: audio/mp3, audio/wav, ...',
    `duration_seconds` Nullable(Float64) COMMENT 'How long the audio lasts, by its own account',
    `fetched_from` Nullable(String) COMMENT 'Which address gave it; api = a fresh one that TCCC\'s API was asked for',
    `attempts_count` Int64 COMMENT 'Tries so far',
    `generated_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When TCCC made it; it keeps the audio three months from then',
    `first_seen_at` DateTime64(6, 'UTC') COMMENT 'When the archiver first read of it',
    `next_attempt_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When a waiting one is tried again',
    `stored_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it came into the archive',
    `deleted_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was taken out of the archive',
    `loaded_at` DateTime64(6, 'UTC') COMMENT 'When the row was committed'
)
COMMENT 'One recording or voicemail and its file in the archive, or why there is none'
AS SELECT
    sdk_app_id,
    asked_at,
    session_id,
    file_kind,
    recording_id,
    status,
    problem,
    path,
    sha256,
    size_bytes,
    content_type,
    duration_seconds,
    fetched_from,
    attempts_count,
    generated_at,
    first_seen_at,
    next_attempt_at,
    stored_at,
    deleted_at,
    loaded_at
FROM callweave_recording_files
FINAL
;;
CREATE VIEW session_recordings
(
    `sdk_app_id` Int64,
    `session_id` String,
    `recording_id` String,
    `is_expected` Bool,
    `received_at` Nullable(DateTime64(6, 'UTC')),
    `absent_at` Nullable(DateTime64(6, 'UTC')),
    `side` Nullable(String),
    `leg_sequence` Nullable(Int64),
    `endpoint_user` Nullable(String),
    `generated_at` Nullable(DateTime64(6, 'UTC')),
    `url` Nullable(String),
    `custom_url` Nullable(String),
    `matched_by` Nullable(String),
    `pushed_recording_id` Nullable(String),
    `source` Nullable(String),
    `extra` Nullable(String),
    `best_url` Nullable(String),
    `has_cdr` Bool,
    `direction` Nullable(String),
    `call_type` Nullable(String),
    `caller` Nullable(String),
    `callee` Nullable(String),
    `customer_number` Nullable(String),
    `line_number` Nullable(String),
    `agent_mail` Nullable(String),
    `agent_phone` Nullable(String),
    `agent_name` Nullable(String),
    `skill_group_id` Nullable(Int64),
    `skill_group_name` Nullable(String),
    `started_at` Nullable(DateTime64(6, 'UTC')),
    `queued_at` Nullable(DateTime64(6, 'UTC')),
    `rang_at` Nullable(DateTime64(6, 'UTC')),
    `answered_at` Nullable(DateTime64(6, 'UTC')),
    `ended_at` Nullable(DateTime64(6, 'UTC')),
    `talk_seconds` Nullable(Int64),
    `end_status` Nullable(String),
    `hung_up_by` Nullable(String),
    `loaded_at` DateTime64(6, 'UTC')
)
COMMENT 'One row per recording, with what its session says: the join that analysts would make by hand.'
AS SELECT
    r.sdk_app_id AS sdk_app_id,
    r.session_id AS session_id,
    r.recording_id AS recording_id,
    r.is_expected AS is_expected,
    r.received_at AS received_at,
    r.absent_at AS absent_at,
    r.side AS side,
    r.leg_sequence AS leg_sequence,
    r.endpoint_user AS endpoint_user,
    r.generated_at AS generated_at,
    r.url AS url,
    r.custom_url AS custom_url,
    r.matched_by AS matched_by,
    r.pushed_recording_id AS pushed_recording_id,
    r.source AS source,
    r.extra AS extra,
    coalesce(r.custom_url, r.url) AS best_url,
    s.has_cdr AS has_cdr,
    s.direction AS direction,
    s.call_type AS call_type,
    s.caller AS caller,
    s.callee AS callee,
    s.customer_number AS customer_number,
    s.line_number AS line_number,
    multiIf((l.agent_mail IS NULL) AND (l.agent_phone IS NULL), s.agent_mail, l.agent_mail) AS agent_mail,
    l.agent_phone AS agent_phone,
    multiIf((l.agent_mail = s.agent_mail) OR ((l.agent_mail IS NULL) AND (l.agent_phone IS NULL)), s.agent_name, NULL) AS agent_name,
    s.skill_group_id AS skill_group_id,
    s.skill_group_name AS skill_group_name,
    s.started_at AS started_at,
    s.queued_at AS queued_at,
    s.rang_at AS rang_at,
    s.answered_at AS answered_at,
    s.ended_at AS ended_at,
    s.talk_seconds AS talk_seconds,
    s.end_status AS end_status,
    s.hung_up_by AS hung_up_by,
    s.loaded_at AS loaded_at
FROM recordings AS r
INNER JOIN sessions AS s ON (s.sdk_app_id = r.sdk_app_id) AND (s.session_id = r.session_id)
LEFT JOIN legs AS l ON (l.sdk_app_id = r.sdk_app_id) AND (l.session_id = r.session_id) AND (l.leg_sequence = r.leg_sequence)
;;
CREATE VIEW completeness
(
    `sdk_app_id` Int64 COMMENT 'TCCC\'s application id',
    `hour` DateTime64(6, 'UTC') COMMENT 'The hour in which calls ended; without an end: in which they started, else the first recording was made',
    `sessions_known_to_api` Int64 COMMENT 'Sessions whose CDR the API gave',
    `sessions_in_warehouse` Int64 COMMENT 'Sessions with a CDR, pushed or from the API',
    `sessions_by_push` Int64 COMMENT 'Of these: their CDR was pushed',
    `sessions_api_only` Int64 COMMENT 'Of these: only the API gave their CDR',
    `sessions_push_only` Int64 COMMENT 'Of these: the API gave none, or was not asked yet',
    `sessions_without_cdr` Int64 COMMENT 'Sessions of which only recordings or voicemails came: their CDR is missing',
    `api_rows_unusable` Int64 COMMENT 'Rows of the API\'s hour that are in no table, but dead letters of stage reconcile',
    `recordings_expected` Int64 COMMENT 'Recordings that CDRs name',
    `recordings_received` Int64 COMMENT 'Recordings that have come, named or not',
    `recordings_recovered` Int64 COMMENT 'Of these: only the API told of them',
    `recordings_absent` Int64 COMMENT 'Named, and the API says that there is none',
    `recordings_missing` Int64 COMMENT 'Named, not here, and not known to be absent',
    `share` Nullable(Float64) COMMENT 'What is here, of what is due (a CDR for each session, a recording or its absence for each name); NULL where nothing is due',
    `asked_at` Nullable(DateTime64(6, 'UTC')) COMMENT 'When the API was last asked for the hour; NULL = never',
    `read_to` Nullable(DateTime64(6, 'UTC')) COMMENT 'How far into the hour that reading went',
    `is_final` Bool COMMENT 'Asked after every deadline, and so were the hours before in which its calls began',
    `as_of` DateTime64(6, 'UTC') COMMENT 'The latest commit that the numbers count'
)
COMMENT 'How complete each application\'s hour is: what was pushed, what the API knows, what is here, what is missing.'
AS WITH
    tracks AS
    (
        SELECT
            sdk_app_id,
            session_id,
            generated_at
        FROM recordings
        UNION ALL
        SELECT
            sdk_app_id,
            session_id,
            generated_at
        FROM voicemails
    ),
    first_tracks AS
    (
        SELECT
            t.sdk_app_id AS sdk_app_id,
            t.session_id AS session_id,
            min(t.generated_at) AS made_at
        FROM tracks AS t
        INNER JOIN sessions AS s ON (s.sdk_app_id = t.sdk_app_id) AND (s.session_id = t.session_id)
        WHERE (s.ended_at IS NULL) AND (s.started_at IS NULL)
        GROUP BY
            t.sdk_app_id,
            t.session_id
    ),
    told AS
    (
        SELECT
            sdk_app_id,
            session_id,
            sum(multiIf(received_at IS NOT NULL, 1, 0)) AS recovered,
            sum(multiIf(absent_at IS NOT NULL, 1, 0)) AS absent
        FROM recordings
        WHERE ((received_at IS NOT NULL) AND (source = 'api')) OR (absent_at IS NOT NULL)
        GROUP BY
            sdk_app_id,
            session_id
    ),
    placed AS
    (
        SELECT
            s.sdk_app_id AS sdk_app_id,
            s.has_cdr AS has_cdr,
            s.source AS source,
            s.recordings_expected AS recordings_expected,
            s.recordings_received AS recordings_received,
            s.recordings_missing AS recordings_missing,
            coalesce(r.recovered, 0) AS recordings_recovered,
            coalesce(r.absent, 0) AS recordings_absent,
            s.loaded_at AS loaded_at,
            dateTrunc('hour', coalesce(s.ended_at, s.started_at, t.made_at, s.first_received_at)) AS hour,
            dateTrunc('hour', s.started_at) AS began
        FROM sessions AS s
        LEFT JOIN first_tracks AS t ON (t.sdk_app_id = s.sdk_app_id) AND (t.session_id = s.session_id)
        LEFT JOIN told AS r ON (r.sdk_app_id = s.sdk_app_id) AND (r.session_id = s.session_id)
    ),
    runs AS
    (
        SELECT
            w.*,
            (CAST(toUnixTimestamp(w.window_start), 'Nullable(Int64)') / 3600) - row_number() OVER (PARTITION BY w.sdk_app_id, w.is_final ORDER BY w.window_start ASC) AS run
        FROM reconcile_windows AS w
    ),
    windows AS
    (
        SELECT
            sdk_app_id,
            window_start,
            window_end,
            asked_at,
            unusable_count,
            loaded_at,
            multiIf(is_final, min(window_start) OVER (PARTITION BY sdk_app_id, is_final, run), NULL) AS final_since
        FROM runs
    ),
    parts AS
    (
        SELECT
            sdk_app_id,
            hour,
            began,
            multiIf((source IN ('api', 'push+api')), 1, 0) AS known_to_api,
            multiIf(has_cdr, 1, 0) AS in_warehouse,
            multiIf((source IN ('push', 'push+api')), 1, 0) AS by_push,
            multiIf(source = 'api', 1, 0) AS api_only,
            multiIf(source = 'push', 1, 0) AS push_only,
            multiIf(has_cdr, 0, 1) AS without_cdr,
            0 AS unusable,
            recordings_expected AS expected,
            recordings_received AS received,
            recordings_recovered AS recovered,
            recordings_absent AS absent,
            recordings_missing AS missing,
            CAST(NULL, 'Nullable(DateTime64(6, \'UTC\'))') AS asked_at,
            CAST(NULL, 'Nullable(DateTime64(6, \'UTC\'))') AS read_to,
            CAST(NULL, 'Nullable(DateTime64(6, \'UTC\'))') AS final_since,
            loaded_at
        FROM placed
        UNION ALL
        SELECT
            sdk_app_id,
            window_start,
            NULL,
            0,
            0,
            0,
            0,
            0,
            0,
            unusable_count,
            0,
            0,
            0,
            0,
            0,
            asked_at,
            window_end,
            final_since,
            loaded_at
        FROM windows
    ),
    hours AS
    (
        SELECT
            sdk_app_id,
            hour,
            CAST(sum(known_to_api), 'Nullable(Int64)') AS sessions_known_to_api,
            CAST(sum(in_warehouse), 'Nullable(Int64)') AS sessions_in_warehouse,
            CAST(sum(by_push), 'Nullable(Int64)') AS sessions_by_push,
            CAST(sum(api_only), 'Nullable(Int64)') AS sessions_api_only,
            CAST(sum(push_only), 'Nullable(Int64)') AS sessions_push_only,
            CAST(sum(without_cdr), 'Nullable(Int64)') AS sessions_without_cdr,
            CAST(sum(unusable), 'Nullable(Int64)') AS api_rows_unusable,
            CAST(sum(expected), 'Nullable(Int64)') AS recordings_expected,
            CAST(sum(received), 'Nullable(Int64)') AS recordings_received,
            CAST(sum(recovered), 'Nullable(Int64)') AS recordings_recovered,
            CAST(sum(absent), 'Nullable(Int64)') AS recordings_absent,
            CAST(sum(missing), 'Nullable(Int64)') AS recordings_missing,
            max(asked_at) AS asked_at,
            max(read_to) AS read_to,
            max(final_since) AS final_since,
            min(began) AS first_began,
            max(loaded_at) AS as_of
        FROM parts
        GROUP BY
            sdk_app_id,
            hour
    )
SELECT
    sdk_app_id,
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
    CAST((sessions_in_warehouse + recordings_expected) - recordings_missing, 'Nullable(Float64)') / nullIf(((sessions_in_warehouse + sessions_without_cdr) + api_rows_unusable) + recordings_expected, 0) AS share,
    asked_at,
    read_to,
    coalesce(final_since <= least(hour - toIntervalHour(1), greatest(coalesce(first_began, hour), hour - toIntervalHour(24))), false) AS is_final,
    as_of
FROM hours
;;
CREATE VIEW kpi_daily
(
    `sdk_app_id` Int64,
    `day` Nullable(Date32),
    `offered` UInt64,
    `queued` UInt64,
    `answered` UInt64,
    `handled` UInt64,
    `abandoned` UInt64,
    `service_level_20s` Nullable(Float64),
    `asa_seconds` Nullable(Float64),
    `aht_without_acw_seconds` Nullable(Float64),
    `outbound_calls` UInt64,
    `outbound_connected` UInt64,
    `outbound_connect_rate` Nullable(Float64),
    `predictive_calls` UInt64,
    `predictive_connected` UInt64,
    `recordings_expected` Nullable(Int64),
    `recordings_received` Nullable(Int64),
    `recordings_missing` Nullable(Int64),
    `as_of` DateTime64(6, 'UTC')
)
COMMENT 'The numbers of a day, by application and UTC day of the call\'s start; every formula stands beside its column.'
AS WITH
    leg_totals AS
    (
        SELECT
            sdk_app_id,
            session_id,
            min(answered_at) AS first_answered_at,
            sum(multiIf(ended_at >= answered_at, dateDiff('second', answered_at, ended_at), NULL)) AS talk_seconds
        FROM legs
        GROUP BY
            sdk_app_id,
            session_id
    ),
    calls AS
    (
        SELECT
            s.sdk_app_id AS sdk_app_id,
            s.queued_at AS queued_at,
            s.answered_at AS answered_at,
            s.wait_seconds AS wait_seconds,
            s.end_status AS end_status,
            s.recordings_expected AS recordings_expected,
            s.recordings_received AS recordings_received,
            s.recordings_missing AS recordings_missing,
            s.loaded_at AS loaded_at,
            CAST(s.started_at, 'Nullable(Date32)') AS day,
            (s.direction = 'inbound') AND (coalesce(s.call_type, '') != 'internal') AS is_inbound,
            (s.direction = 'outbound') AND (coalesce(s.call_type, '') != 'internal') AND (coalesce(s.call_type, '') != 'predictive_outbound') AS is_outbound,
            (s.direction = 'outbound') AND (coalesce(s.call_type, '') = 'predictive_outbound') AS is_predictive,
            coalesce(s.answered_at, l.first_answered_at) IS NOT NULL AS is_answered,
            l.talk_seconds AS leg_talk_seconds
        FROM sessions AS s
        LEFT JOIN leg_totals AS l ON (l.sdk_app_id = s.sdk_app_id) AND (l.session_id = s.session_id)
        WHERE s.started_at IS NOT NULL
    )
SELECT
    sdk_app_id,
    day,
    COUNTIf(*, is_inbound) AS offered,
    COUNTIf(*, is_inbound AND (queued_at IS NOT NULL)) AS queued,
    COUNTIf(*, is_inbound AND (queued_at IS NOT NULL) AND is_answered) AS answered,
    COUNTIf(*, is_inbound AND is_answered) AS handled,
    COUNTIf(*, is_inbound AND (queued_at IS NOT NULL) AND (end_status IN ('waitingGiveUp', 'ringingGiveUp'))) AS abandoned,
    CAST(COUNTIf(*, is_inbound AND (queued_at IS NOT NULL) AND (wait_seconds <= 20)), 'Nullable(Float64)') / nullIf(COUNTIf(*, is_inbound AND (queued_at IS NOT NULL)), 0) AS service_level_20s,
    CAST(AVGIf(wait_seconds, is_inbound AND (queued_at IS NOT NULL) AND (answered_at IS NOT NULL)), 'Nullable(Float64)') AS asa_seconds,
    CAST(SUMIf(leg_talk_seconds, is_inbound AND is_answered), 'Nullable(Float64)') / nullIf(COUNTIf(*, is_inbound AND is_answered), 0) AS aht_without_acw_seconds,
    COUNTIf(*, is_outbound) AS outbound_calls,
    COUNTIf(*, is_outbound AND (answered_at IS NOT NULL)) AS outbound_connected,
    CAST(COUNTIf(*, is_outbound AND (answered_at IS NOT NULL)), 'Nullable(Float64)') / nullIf(COUNTIf(*, is_outbound), 0) AS outbound_connect_rate,
    COUNTIf(*, is_predictive) AS predictive_calls,
    COUNTIf(*, is_predictive AND (answered_at IS NOT NULL)) AS predictive_connected,
    CAST(sum(calls.recordings_expected), 'Nullable(Int64)') AS recordings_expected,
    CAST(sum(calls.recordings_received), 'Nullable(Int64)') AS recordings_received,
    CAST(sum(calls.recordings_missing), 'Nullable(Int64)') AS recordings_missing,
    max(calls.loaded_at) AS as_of
FROM calls
GROUP BY
    sdk_app_id,
    day
;;
CREATE VIEW session_hold
(
    `sdk_app_id` Int64,
    `session_id` String,
    `hold_count` UInt64,
    `hold_seconds` Int64,
    `mute_count` UInt64,
    `mute_seconds` Int64,
    `talk_seconds` Nullable(Int64),
    `talk_without_hold_seconds` Nullable(Int64),
    `agent_mail` Nullable(String),
    `skill_group_id` Nullable(Int64),
    `started_at` Nullable(DateTime64(6, 'UTC')),
    `ended_at` Nullable(DateTime64(6, 'UTC')),
    `asked_at` DateTime64(6, 'UTC')
)
COMMENT 'Hold and mute time of each session whose details were asked for (ENRICH__SESSION_DETAILS); others have no row.'
AS WITH
    steps AS
    (
        SELECT
            e.sdk_app_id AS sdk_app_id,
            e.session_id AS session_id,
            e.event_type AS event_type,
            e.occurred_at AS occurred_at,
            coalesce(lead(CAST(e.occurred_at, 'Nullable(DateTime64(6, \'UTC\'))')) OVER (PARTITION BY e.sdk_app_id, e.session_id, e.agent_mail, multiIf((e.event_type IN ('StaffHold', 'StaffUnhold')), 'hold', 'mute') ORDER BY e.event_sequence ASC), s.ended_at, d.session_ended_at) AS lasted_to
        FROM agent_events AS e
        INNER JOIN session_details AS d ON (d.sdk_app_id = e.sdk_app_id) AND (d.session_id = e.session_id) AND (e.event_sequence < d.event_count)
        LEFT JOIN sessions AS s ON (s.sdk_app_id = e.sdk_app_id) AND (s.session_id = e.session_id)
        WHERE (e.event_type IN ('StaffHold', 'StaffUnhold', 'StaffMute', 'StaffUnmute')) AND (e.occurred_at IS NOT NULL)
    ),
    lengths AS
    (
        SELECT
            sdk_app_id,
            session_id,
            event_type,
            multiIf(lasted_to > occurred_at, CAST(dateDiff('second', occurred_at, lasted_to), 'Nullable(Int64)'), 0) AS seconds
        FROM steps
    ),
    totals AS
    (
        SELECT
            sdk_app_id,
            session_id,
            COUNTIf(*, event_type = 'StaffHold') AS hold_count,
            CAST(coalesce(SUMIf(seconds, event_type = 'StaffHold'), 0), 'Nullable(Int64)') AS hold_seconds,
            COUNTIf(*, event_type = 'StaffMute') AS mute_count,
            CAST(coalesce(SUMIf(seconds, event_type = 'StaffMute'), 0), 'Nullable(Int64)') AS mute_seconds
        FROM lengths
        GROUP BY
            sdk_app_id,
            session_id
    )
SELECT
    d.sdk_app_id AS sdk_app_id,
    d.session_id AS session_id,
    coalesce(t.hold_count, 0) AS hold_count,
    coalesce(t.hold_seconds, 0) AS hold_seconds,
    coalesce(t.mute_count, 0) AS mute_count,
    coalesce(t.mute_seconds, 0) AS mute_seconds,
    s.talk_seconds AS talk_seconds,
    multiIf(s.talk_seconds >= coalesce(t.hold_seconds, 0), s.talk_seconds - coalesce(t.hold_seconds, 0), NULL) AS talk_without_hold_seconds,
    s.agent_mail AS agent_mail,
    s.skill_group_id AS skill_group_id,
    s.started_at AS started_at,
    s.ended_at AS ended_at,
    d.asked_at AS asked_at
FROM session_details AS d
LEFT JOIN totals AS t ON (t.sdk_app_id = d.sdk_app_id) AND (t.session_id = d.session_id)
LEFT JOIN sessions AS s ON (s.sdk_app_id = d.sdk_app_id) AND (s.session_id = d.session_id)
WHERE d.is_known
;;
CREATE VIEW agent_occupancy
(
    `sdk_app_id` Int64,
    `agent_mail` String,
    `day` Nullable(Date32),
    `free_seconds` Nullable(Int64),
    `busy_seconds` Nullable(Int64),
    `after_call_work_seconds` Nullable(Int64),
    `rest_seconds` Nullable(Int64),
    `not_ready_seconds` Nullable(Int64),
    `offline_seconds` Nullable(Int64),
    `occupancy` Nullable(Float64),
    `known_to` DateTime64(6, 'UTC')
)
COMMENT 'What each agent did on each UTC day, in seconds by status, and how much of the time at work was taken (occupancy).'
AS WITH
    digits AS
    (
        SELECT 0 AS n
        UNION ALL
        SELECT 1
        UNION ALL
        SELECT 2
        UNION ALL
        SELECT 3
        UNION ALL
        SELECT 4
        UNION ALL
        SELECT 5
        UNION ALL
        SELECT 6
        UNION ALL
        SELECT 7
        UNION ALL
        SELECT 8
        UNION ALL
        SELECT 9
    ),
    numbers AS
    (
        SELECT (ones.n + (10 * tens.n)) + (100 * hundreds.n) AS n
        FROM digits AS ones
        CROSS JOIN digits AS tens
        CROSS JOIN digits AS hundreds
        WHERE hundreds.n < 2
    ),
    spans AS
    (
        SELECT
            c.sdk_app_id AS sdk_app_id,
            c.agent_mail AS agent_mail,
            c.status AS status,
            c.changed_at AS began_at,
            coalesce(lead(CAST(c.changed_at, 'Nullable(DateTime64(6, \'UTC\'))')) OVER (PARTITION BY c.sdk_app_id, c.agent_mail ORDER BY c.changed_at ASC, c.status_sequence ASC), r.read_to) AS lasted_to,
            r.read_to AS read_to
        FROM agent_status AS c
        LEFT JOIN agent_status_reads AS r ON (r.sdk_app_id = c.sdk_app_id) AND (r.agent_mail = c.agent_mail)
    ),
    days AS
    (
        SELECT
            s.sdk_app_id AS sdk_app_id,
            s.agent_mail AS agent_mail,
            s.status AS status,
            s.read_to AS read_to,
            CAST(s.began_at, 'Nullable(Date32)') + d.n AS day,
            s.began_at AS began_at,
            s.lasted_to AS lasted_to
        FROM spans AS s
        INNER JOIN numbers AS d ON (CAST(s.began_at, 'Nullable(Date32)') + d.n) <= CAST(s.lasted_to, 'Nullable(Date32)')
        WHERE s.lasted_to > s.began_at
    ),
    bounds AS
    (
        SELECT
            sdk_app_id,
            agent_mail,
            day,
            status,
            read_to,
            greatest(began_at, CAST(day, 'Nullable(DateTime64(6, \'UTC\'))')) AS began_that_day_at,
            least(lasted_to, CAST(day + 1, 'Nullable(DateTime64(6, \'UTC\'))')) AS lasted_that_day_to
        FROM days
    ),
    parts AS
    (
        SELECT
            sdk_app_id,
            agent_mail,
            day,
            status,
            read_to,
            CAST(dateDiff('second', began_that_day_at, lasted_that_day_to), 'Nullable(Int64)') AS seconds
        FROM bounds
    ),
    totals AS
    (
        SELECT
            sdk_app_id,
            agent_mail,
            day,
            CAST(coalesce(SUMIf(seconds, status = 'free'), 0), 'Nullable(Int64)') AS free_seconds,
            CAST(coalesce(SUMIf(seconds, status = 'busy'), 0), 'Nullable(Int64)') AS busy_seconds,
            CAST(coalesce(SUMIf(seconds, (status IN ('afterCallWork', 'arrange'))), 0), 'Nullable(Int64)') AS after_call_work_seconds,
            CAST(coalesce(SUMIf(seconds, status = 'rest'), 0), 'Nullable(Int64)') AS rest_seconds,
            CAST(coalesce(SUMIf(seconds, status = 'notReady'), 0), 'Nullable(Int64)') AS not_ready_seconds,
            CAST(coalesce(SUMIf(seconds, status = 'offline'), 0), 'Nullable(Int64)') AS offline_seconds,
            max(read_to) AS known_to
        FROM parts
        GROUP BY
            sdk_app_id,
            agent_mail,
            day
    )
SELECT
    t.sdk_app_id,
    t.agent_mail,
    t.day,
    t.free_seconds,
    t.busy_seconds,
    t.after_call_work_seconds,
    t.rest_seconds,
    t.not_ready_seconds,
    t.offline_seconds,
    CAST(t.busy_seconds + t.after_call_work_seconds, 'Nullable(Float64)') / nullIf((t.busy_seconds + t.after_call_work_seconds) + t.free_seconds, 0) AS occupancy,
    t.known_to
FROM totals AS t
;;
CREATE VIEW leg_names
(
    `sdk_app_id` Int64,
    `session_id` String,
    `leg_sequence` Int64,
    `agent_mail` Nullable(String),
    `agent_name` Nullable(String),
    `nick` Nullable(String),
    `staff_number` Nullable(String),
    `agent_skill_group_ids` Nullable(String),
    `skill_group_id` Nullable(Int64),
    `skill_group_name` Nullable(String),
    `started_at` Nullable(DateTime64(6, 'UTC'))
)
COMMENT 'Every leg with the names that agent and skill group had when it began (ENRICH__DIRECTORY); what the CDR says is beside.'
AS WITH
    agent_states AS
    (
        SELECT
            a.*,
            lead(CAST(a.valid_from, 'Nullable(DateTime64(6, \'UTC\'))')) OVER (PARTITION BY a.sdk_app_id, a.agent_mail ORDER BY a.valid_from ASC) AS next_from
        FROM agents AS a
    ),
    group_states AS
    (
        SELECT
            g.*,
            lead(CAST(g.valid_from, 'Nullable(DateTime64(6, \'UTC\'))')) OVER (PARTITION BY g.sdk_app_id, g.skill_group_id ORDER BY g.valid_from ASC) AS next_from
        FROM skill_groups AS g
    )
SELECT
    l.sdk_app_id AS sdk_app_id,
    l.session_id AS session_id,
    l.leg_sequence AS leg_sequence,
    l.agent_mail AS agent_mail,
    a.agent_name AS agent_name,
    a.nick AS nick,
    a.staff_number AS staff_number,
    a.skill_group_ids AS agent_skill_group_ids,
    l.skill_group_id AS skill_group_id,
    coalesce(g.skill_group_name, l.skill_group_name) AS skill_group_name,
    coalesce(l.started_at, s.started_at) AS started_at
FROM legs AS l
INNER JOIN sessions AS s ON (s.sdk_app_id = l.sdk_app_id) AND (s.session_id = l.session_id)
LEFT JOIN agent_states AS a ON (a.sdk_app_id = l.sdk_app_id) AND (a.agent_mail = l.agent_mail) AND (a.valid_from <= coalesce(l.started_at, s.started_at)) AND ((a.valid_to IS NULL) OR (a.valid_to > coalesce(l.started_at, s.started_at))) AND ((a.next_from IS NULL) OR (a.next_from > coalesce(l.started_at, s.started_at)))
LEFT JOIN group_states AS g ON (g.sdk_app_id = l.sdk_app_id) AND (g.skill_group_id = l.skill_group_id) AND (g.valid_from <= coalesce(l.started_at, s.started_at)) AND ((g.valid_to IS NULL) OR (g.valid_to > coalesce(l.started_at, s.started_at))) AND ((g.next_from IS NULL) OR (g.next_from > coalesce(l.started_at, s.started_at)))
;;

;;

;;

;;

;;
INSERT INTO callweave_commits (`topic`, `partition`, `next_offset`, `updated_at`, `commit_number`) VALUES ('tccc.dead_letters', 0, 2, '2026-11-24 04:00:00.000000', 113223), ('tccc.sessions', 0, 7, '2026-11-24 04:00:00.000000', 113223)
;;
INSERT INTO callweave_meta (`key`, `value`, `noted_at`) VALUES ('layout_digest', '4ac95beb63012ed0cad5c302caec0f2c', '2026-11-25 06:20:41.650510'), ('layout_version', '1', '2026-11-25 06:20:41.650510')
;;

;;
INSERT INTO callweave_sessions (`sdk_app_id`, `session_id`, `version`, `has_cdr`, `direction`, `call_type`, `caller`, `callee`, `customer_number`, `line_number`, `started_at`, `queued_at`, `rang_at`, `answered_at`, `ended_at`, `ivr_seconds`, `wait_seconds`, `talk_seconds`, `end_status`, `hung_up_by`, `skill_group_id`, `skill_group_name`, `agent_mail`, `agent_name`, `leg_count`, `recordings_expected`, `recordings_received`, `recordings_missing`, `voicemail_count`, `uui`, `user_remark`, `first_received_at`, `last_received_at`, `source`, `extra`, `erasure`, `document_digest`, `loaded_at`, `legs.leg_sequence`, `legs.agent_mail`, `legs.agent_phone`, `legs.leg_type`, `legs.started_at`, `legs.rang_at`, `legs.answered_at`, `legs.ended_at`, `legs.end_status`, `legs.recording_id`, `legs.skill_group_id`, `legs.skill_group_name`, `legs.transfer_from`, `legs.transfer_from_type`, `legs.transfer_to`, `legs.transfer_to_type`, `legs.extra`, `recordings.recording_id`, `recordings.is_expected`, `recordings.received_at`, `recordings.absent_at`, `recordings.side`, `recordings.leg_sequence`, `recordings.endpoint_user`, `recordings.generated_at`, `recordings.url`, `recordings.custom_url`, `recordings.matched_by`, `recordings.pushed_recording_id`, `recordings.source`, `recordings.extra`, `voicemails.voicemail_id`, `voicemails.endpoint_user`, `voicemails.generated_at`, `voicemails.url`, `voicemails.received_at`, `voicemails.source`, `voicemails.extra`, `field_disagreements.field`, `field_disagreements.pushed_value`, `field_disagreements.api_value`, `field_disagreements.pushed_at`, `field_disagreements.api_asked_at`, `session_versions.version`, `session_versions.received_at`, `session_versions.report_kind`, `session_versions.report_source`, `session_versions.report_digest`, `session_versions.push_id`, `session_versions.is_repeat`, `session_versions.changed`) VALUES (1400000001, 'empty', 1, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, '2026-11-24 03:55:00.123000', '2026-11-24 03:55:00.123000', NULL, NULL, NULL, 'eebeccfc935777441ce9d9b25d1778fd', '2026-11-24 04:00:00.000000', [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], [], []), (1400000001, 'whole', 2, false, NULL, NULL, '+8613800000000', NULL, NULL, NULL, '2026-11-24 04:00:00.000000', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 0, 0, 0, 0, NULL, NULL, '2026-11-24 03:55:00.123000', '2026-11-24 03:55:00.123000', NULL, '{"Field":"it\'s"}', NULL, '55fed3b40c2f7f93264ec35f67076485', '2026-11-24 04:00:00.000000', [0,1], ['a@x',NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,'{"Priority":1}'], ['r-1','r-2'], [true,true], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], ['u',NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], [NULL,NULL], ['v-1'], [NULL], [NULL], ['w'], [NULL], [NULL], [NULL], [], [], [], [], [], [], [], [], [], [], [], [], [])
;;

;;

;;

;;
INSERT INTO callweave_letters (`dead_letter_id`, `stage`, `reason`, `detail`, `action`, `headers`, `received_at`, `occurred_at`, `topic`, `partition`, `offset`, `raw`, `raw_bytes_count`, `stored_at`) VALUES ('16c8f5e9cb6ce3c6176c87e92c6b003c', 'receive', 'UNDECODABLE', 'not JSON', NULL, NULL, NULL, '2026-11-24 03:55:00.123000', 'tccc.dead_letters', 0, 0, 'not json', 8, '2026-11-24 04:00:00.000000'), ('73af73ff4a8de9dc89a036fedb4d3b1f', 'receive', 'UNDECODABLE', 'not JSON', NULL, NULL, NULL, '2026-11-24 03:55:00.123000', 'tccc.dead_letters', 0, 1, '\0\'', 2, '2026-11-24 04:00:00.000000')
;;

;;
INSERT INTO callweave_sightings (`dead_letter_id`, `topic`, `partition`, `offset`, `seen_count`, `last_seen_at`, `replayed_at`, `replay_outcome`, `stored_at`) VALUES ('16c8f5e9cb6ce3c6176c87e92c6b003c', 'tccc.dead_letters', 0, 0, 1, '2026-11-24 03:55:00.123000', NULL, NULL, '2026-11-24 04:00:00.000000'), ('73af73ff4a8de9dc89a036fedb4d3b1f', 'tccc.dead_letters', 0, 1, 1, '2026-11-24 03:55:00.123000', NULL, NULL, '2026-11-24 04:00:00.000000')
;;
