#!/bin/sh
# Generated from schemas/topics.py (`make deploy-files`). BOOTSTRAP: the brokers; CONFIG: a file with the credentials of
# a Kafka administrator.
set -eu

# archiver
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-archiver --operation Read --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-archiver --operation Write --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-archiver --operation Read --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-archiver --operation Write --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-archiver --operation Read --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-archiver --operation Read --group tccc.archiver
# dashboard
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.skill_groups
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.suppressions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --topic tccc.voicemail
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-dashboard --operation Describe --group tccc.worker
# loader
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Write --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-loader --operation Read --topic tccc.skill_groups
# operator
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Write --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Write --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Write --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.legal_holds
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Write --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.recording_files
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.skill_groups
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.skill_groups
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.skill_groups
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.suppressions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.suppressions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.suppressions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Read --topic tccc.voicemail
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Write --topic tccc.voicemail
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Create --topic tccc.voicemail
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation DescribeConfigs --topic tccc.voicemail
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-operator --operation Describe --group tccc.worker
# receiver
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-receiver --operation Write --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-receiver --operation Write --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-receiver --operation Write --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-receiver --operation Write --topic tccc.voicemail
# reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.agent_events
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.agent_status
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.agent_status_reads
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.agents
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.reconcile
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.session_details
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Read --topic tccc.skill_groups
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.skill_groups
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-reconcile --operation Write --topic tccc.voicemail
# worker
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Read --topic tccc.cdr
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Write --topic tccc.dead_letters
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Read --topic tccc.record
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Read --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Write --topic tccc.sessions
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Read --topic tccc.voicemail
kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$CONFIG" --add --force --allow-principal User:callweave-worker --operation Read --group tccc.worker
