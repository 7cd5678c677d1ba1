-- claim

WITH me AS MATERIALIZED
(SELECT processors.id AS id
FROM processors
WHERE processors.id = %(claimant)s::VARCHAR AND processors.status = %(status_1)s::VARCHAR AND processors.lease_until > statement_timestamp() FOR KEY SHARE),
due AS MATERIALIZED
(SELECT best.id AS id, wanted.type AS type, best.priority AS priority, best.created_at AS created_at, best.guarded AS guarded, wanted.process AS process
FROM me JOIN (SELECT * FROM jsonb_to_recordset(CAST(%(wanted)s AS jsonb)) AS document ("type" text, "process" bigint, "room" bigint, "max_concurrent" bigint, "rate" text, "payloads" bigint, "keyed" bigint)) AS wanted ON true LEFT OUTER JOIN job_types AS said ON said.name = wanted.type JOIN LATERAL (SELECT jobs.id AS id, jobs.priority AS priority, jobs.created_at AS created_at, coalesce(wanted.payloads = 1 OR coalesce(said.max_concurrent, wanted.max_concurrent) IS NOT NULL OR coalesce(said.rate, wanted.rate) != 'unlimited' OR jobs.concurrency_key IS NOT NULL OR wanted.keyed = 1 AND jobs.key IS NOT NULL, %(coalesce_1)s) AS guarded
FROM jobs
WHERE jobs.type = wanted.type AND jobs.status = 'pending' AND (jobs.run_at IS NULL OR jobs.run_at <= statement_timestamp()) AND NOT jobs.cancel_requested ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT least(%(slots)s::BIGINT, least(wanted.room, CASE WHEN (coalesce(said.max_concurrent, wanted.max_concurrent) IS NOT NULL) THEN greatest(0, coalesce(said.max_concurrent, wanted.max_concurrent) - (SELECT count(*) AS count_1
FROM jobs AS runs
WHERE runs.status = 'running' AND runs.type = wanted.type)) END)) FOR UPDATE OF jobs SKIP LOCKED) AS best ON true
WHERE NOT coalesce(said.paused OR coalesce(said.paused_until > statement_timestamp(), %(coalesce_2)s) OR said.rate_free_at > statement_timestamp() AND said.rate_free_for = coalesce(said.rate, wanted.rate), %(coalesce_3)s)),
chosen AS
(SELECT ranked.id AS id, ranked.type AS type, ranked.priority AS priority, ranked.created_at AS created_at, ranked.guarded AS guarded, ranked.process AS process, ranked.processes AS processes
FROM (SELECT due.id AS id, due.type AS type, due.priority AS priority, due.created_at AS created_at, due.guarded AS guarded, due.process AS process, sum(due.process) OVER (ORDER BY due.priority DESC, due.created_at, due.id) AS processes
FROM due) AS ranked
WHERE ranked.process = %(process_1)s::BIGINT OR ranked.processes <= %(processes)s::BIGINT ORDER BY ranked.priority DESC, ranked.created_at, ranked.id
LIMIT %(slots)s::BIGINT),
taken AS
(UPDATE jobs SET status=%(param_1)s::VARCHAR, reason=%(param_2)s::VARCHAR, attempt=(jobs.attempt + %(attempt_1)s::INTEGER), processor_id=%(claimant)s::VARCHAR, claim_no=%(number)s::BIGINT, started_at=statement_timestamp(), progress=%(param_3)s, progress_message=%(param_4)s::VARCHAR, event_no=(jobs.event_no + %(event_no_1)s::BIGINT) FROM chosen WHERE jobs.id = chosen.id AND NOT chosen.guarded AND jobs.status = 'pending' RETURNING jobs.id, jobs.type, jobs.priority, jobs.created_at, jobs.attempt, CASE WHEN (octet_length(CAST(jobs.payload AS TEXT)) <= %(octet_length_1)s::INTEGER) THEN CAST(jobs.payload AS TEXT) END AS payload, octet_length(CAST(jobs.payload AS TEXT)) AS payload_bytes, jobs.max_attempts, jobs.timeout_seconds, jobs.owner, jobs.key, jobs.subject, jobs.concurrency_key, jobs.crashes, jobs.trace_parent, coalesce(jobs.expires_at <= statement_timestamp(), %(coalesce_4)s) AS expired, date_part(%(date_part_1)s::VARCHAR, statement_timestamp() - coalesce(jobs.run_at, jobs.created_at)) AS wait_seconds, jobs.event_no, jobs.status, jobs.reason),
told AS
(INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT taken.id AS id, taken.event_no AS event_no, taken.attempt AS attempt, 'state' AS kind, taken.status AS status, taken.reason AS reason
FROM taken)
SELECT taken.id, taken.type, taken.priority, taken.created_at, taken.attempt, taken.payload, taken.payload_bytes, taken.max_attempts, taken.timeout_seconds, taken.owner, taken.key, taken.subject, taken.concurrency_key, taken.crashes, taken.trace_parent, taken.expired, taken.wait_seconds, false AS guarded
FROM taken UNION ALL SELECT chosen.id, chosen.type, chosen.priority, chosen.created_at, NULL AS attempt, NULL AS payload, NULL AS payload_bytes, NULL AS max_attempts, NULL AS timeout_seconds, NULL AS owner, NULL AS key, NULL AS subject, NULL AS concurrency_key, NULL AS crashes, NULL AS trace_parent, NULL AS expired, NULL AS wait_seconds, true AS anon_1
FROM chosen
WHERE chosen.guarded

-- claim of many types, none of them due

WITH me AS MATERIALIZED
(SELECT processors.id AS id
FROM processors
WHERE processors.id = %(claimant)s::VARCHAR AND processors.status = %(status_1)s::VARCHAR AND processors.lease_until > statement_timestamp() FOR KEY SHARE),
due AS MATERIALIZED
(SELECT best.id AS id, wanted.type AS type, best.priority AS priority, best.created_at AS created_at, best.guarded AS guarded, wanted.process AS process
FROM me JOIN (SELECT heads.type AS type, heads.process AS process, heads.room AS room, heads."limit" AS "limit", heads.rate AS rate, heads.payloads AS payloads, heads.keyed AS keyed, heads.id AS id, heads.priority AS priority, heads.created_at AS created_at, heads.processes AS processes
FROM (SELECT wanted.type AS type, wanted.process AS process, least(wanted.room, CASE WHEN (coalesce(said.max_concurrent, wanted.max_concurrent) IS NOT NULL) THEN greatest(0, coalesce(said.max_concurrent, wanted.max_concurrent) - (SELECT count(*) AS count_1
FROM jobs AS runs
WHERE runs.status = 'running' AND runs.type = wanted.type)) END) AS room, coalesce(said.max_concurrent, wanted.max_concurrent) AS "limit", coalesce(said.rate, wanted.rate) AS rate, wanted.payloads AS payloads, wanted.keyed AS keyed, head.id AS id, head.priority AS priority, head.created_at AS created_at, sum(wanted.process) OVER (ORDER BY head.priority DESC, head.created_at, head.id) AS processes
FROM (SELECT * FROM jsonb_to_recordset(CAST(%(wanted)s AS jsonb)) AS document ("type" text, "process" bigint, "room" bigint, "max_concurrent" bigint, "rate" text, "payloads" bigint, "keyed" bigint)) AS wanted LEFT OUTER JOIN job_types AS said ON said.name = wanted.type JOIN LATERAL (SELECT jobs.id AS id, jobs.priority AS priority, jobs.created_at AS created_at
FROM jobs
WHERE jobs.type = wanted.type AND jobs.status = 'pending' AND (jobs.run_at IS NULL OR jobs.run_at <= statement_timestamp()) AND NOT jobs.cancel_requested ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1) AS head ON true
WHERE NOT coalesce(said.paused OR coalesce(said.paused_until > statement_timestamp(), %(coalesce_1)s) OR said.rate_free_at > statement_timestamp() AND said.rate_free_for = coalesce(said.rate, wanted.rate), %(coalesce_2)s) AND coalesce(least(wanted.room, CASE WHEN (coalesce(said.max_concurrent, wanted.max_concurrent) IS NOT NULL) THEN greatest(0, coalesce(said.max_concurrent, wanted.max_concurrent) - (SELECT count(*) AS count_1
FROM jobs AS runs
WHERE runs.status = 'running' AND runs.type = wanted.type)) END) > 0, %(coalesce_3)s)) AS heads
WHERE heads.process = %(process_1)s::BIGINT OR heads.processes <= %(processes)s::BIGINT ORDER BY heads.priority DESC, heads.created_at, heads.id
LIMIT %(slots)s::BIGINT) AS wanted ON true JOIN LATERAL (SELECT jobs.id AS id, jobs.priority AS priority, jobs.created_at AS created_at, coalesce(wanted.payloads = 1 OR wanted."limit" IS NOT NULL OR wanted.rate != 'unlimited' OR jobs.concurrency_key IS NOT NULL OR wanted.keyed = 1 AND jobs.key IS NOT NULL, %(coalesce_4)s) AS guarded
FROM jobs
WHERE jobs.type = wanted.type AND jobs.status = 'pending' AND (jobs.run_at IS NULL OR jobs.run_at <= statement_timestamp()) AND NOT jobs.cancel_requested ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT least(%(slots)s::BIGINT, wanted.room) FOR UPDATE OF jobs SKIP LOCKED) AS best ON true),
chosen AS
(SELECT ranked.id AS id, ranked.type AS type, ranked.priority AS priority, ranked.created_at AS created_at, ranked.guarded AS guarded, ranked.process AS process, ranked.processes AS processes
FROM (SELECT due.id AS id, due.type AS type, due.priority AS priority, due.created_at AS created_at, due.guarded AS guarded, due.process AS process, sum(due.process) OVER (ORDER BY due.priority DESC, due.created_at, due.id) AS processes
FROM due) AS ranked
WHERE ranked.process = %(process_2)s::BIGINT OR ranked.processes <= %(processes)s::BIGINT ORDER BY ranked.priority DESC, ranked.created_at, ranked.id
LIMIT %(slots)s::BIGINT),
taken AS
(UPDATE jobs SET status=%(param_1)s::VARCHAR, reason=%(param_2)s::VARCHAR, attempt=(jobs.attempt + %(attempt_1)s::INTEGER), processor_id=%(claimant)s::VARCHAR, claim_no=%(number)s::BIGINT, started_at=statement_timestamp(), progress=%(param_3)s, progress_message=%(param_4)s::VARCHAR, event_no=(jobs.event_no + %(event_no_1)s::BIGINT) FROM chosen WHERE jobs.id = chosen.id AND NOT chosen.guarded AND jobs.status = 'pending' RETURNING jobs.id, jobs.type, jobs.priority, jobs.created_at, jobs.attempt, CASE WHEN (octet_length(CAST(jobs.payload AS TEXT)) <= %(octet_length_1)s::INTEGER) THEN CAST(jobs.payload AS TEXT) END AS payload, octet_length(CAST(jobs.payload AS TEXT)) AS payload_bytes, jobs.max_attempts, jobs.timeout_seconds, jobs.owner, jobs.key, jobs.subject, jobs.concurrency_key, jobs.crashes, jobs.trace_parent, coalesce(jobs.expires_at <= statement_timestamp(), %(coalesce_5)s) AS expired, date_part(%(date_part_1)s::VARCHAR, statement_timestamp() - coalesce(jobs.run_at, jobs.created_at)) AS wait_seconds, jobs.event_no, jobs.status, jobs.reason),
told AS
(INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT taken.id AS id, taken.event_no AS event_no, taken.attempt AS attempt, 'state' AS kind, taken.status AS status, taken.reason AS reason
FROM taken)
SELECT taken.id, taken.type, taken.priority, taken.created_at, taken.attempt, taken.payload, taken.payload_bytes, taken.max_attempts, taken.timeout_seconds, taken.owner, taken.key, taken.subject, taken.concurrency_key, taken.crashes, taken.trace_parent, taken.expired, taken.wait_seconds, false AS guarded
FROM taken UNION ALL SELECT chosen.id, chosen.type, chosen.priority, chosen.created_at, NULL AS attempt, NULL AS payload, NULL AS payload_bytes, NULL AS max_attempts, NULL AS timeout_seconds, NULL AS owner, NULL AS key, NULL AS subject, NULL AS concurrency_key, NULL AS crashes, NULL AS trace_parent, NULL AS expired, NULL AS wait_seconds, true AS anon_1
FROM chosen
WHERE chosen.guarded

SELECT first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= statement_timestamp()) AND NOT jobs.cancel_requested ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1) AS id
FROM (SELECT * FROM jsonb_to_recordset(CAST(%(wanted)s AS jsonb)) AS document ("type" text, "status" text)) AS wanted
LIMIT 1000000000) AS heads JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT %(most)s::BIGINT

-- store events

SELECT jobs.id, jobs.event_no
FROM jobs JOIN (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("id" bigint, "processor_id" text, "claim_no" bigint, "count" bigint, "percent" double precision, "message" text)) AS given ON jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no AND jobs.status = 'running' AND jobs.id = any(%(ids)s::BIGINT[]) ORDER BY jobs.id FOR UPDATE OF jobs SKIP LOCKED

UPDATE jobs SET progress=CASE WHEN (given.percent IS NOT NULL) THEN given.percent ELSE jobs.progress END, progress_message=CASE WHEN (given.message IS NOT NULL) THEN given.message ELSE jobs.progress_message END, event_no=(jobs.event_no + given.count) FROM (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("id" bigint, "processor_id" text, "claim_no" bigint, "count" bigint, "percent" double precision, "message" text)) AS given WHERE jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no AND jobs.status = 'running' AND jobs.id = any(%(ids)s::BIGINT[])

INSERT INTO job_events (job_id, number, attempt, kind, level, percent, text) SELECT given.job_id, given.number, given.attempt, given.kind, given.level, given.percent, given.text
FROM (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("job_id" bigint, "number" bigint, "attempt" bigint, "kind" text, "level" text, "percent" double precision, "text" text)) AS given ORDER BY given.job_id, given.number

-- settle

SELECT jobs.id, jobs.cancel_requested, jobs.parent_id, jobs.on_complete IS NOT NULL OR jobs.on_failure IS NOT NULL AS followed, (SELECT any_child.id
FROM jobs AS any_child
WHERE any_child.parent_id = jobs.id ORDER BY any_child.status, any_child.id
LIMIT 1) IS NOT NULL AS has_children
FROM jobs JOIN (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("id" bigint, "processor_id" text, "claim_no" bigint)) AS given ON jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no
WHERE jobs.status = 'running' AND jobs.id = any(%(ids)s::BIGINT[]) ORDER BY jobs.id FOR UPDATE OF jobs SKIP LOCKED

UPDATE jobs SET status=given.status, reason=given.reason, run_at=CASE WHEN (given.delay IS NOT NULL) THEN statement_timestamp() + make_interval(%(make_interval_1)s::INTEGER, %(make_interval_2)s::INTEGER, %(make_interval_3)s::INTEGER, %(make_interval_4)s::INTEGER, %(make_interval_5)s::INTEGER, %(make_interval_6)s::INTEGER, CAST(given.delay AS FLOAT(53))) ELSE jobs.run_at END, attempt=(jobs.attempt - given.given_back), crashes=given.crashes, finished_at=CASE WHEN (given.status IN ('cancelled', 'completed', 'failed')) THEN statement_timestamp() ELSE NULL END, progress=CASE WHEN (given.status = 'completed') THEN %(param_1)s ELSE jobs.progress END, result=CAST(given.result AS JSON), error_type=given.error_type, error_message=given.error_message, error_detail=given.error_detail, cpu_seconds=given.cpu_seconds, max_rss_bytes=given.max_rss_bytes, event_no=(jobs.event_no + %(event_no_1)s::BIGINT) FROM (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("id" bigint, "status" text, "reason" text, "delay" double precision, "given_back" bigint, "crashes" bigint, "result" text, "error_type" text, "error_message" text, "error_detail" text, "cpu_seconds" double precision, "max_rss_bytes" bigint)) AS given WHERE jobs.id = given.id AND jobs.id = any(%(ids)s::BIGINT[])

INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT jobs.id, jobs.event_no, jobs.attempt, 'state' AS kind, jobs.status, jobs.reason
FROM jobs
WHERE jobs.id = any(%(ids)s::BIGINT[])

INSERT INTO job_errors (job_id, attempt, processor_id, reason, error_type, error_message, error_detail, seconds) SELECT given.job_id, given.attempt, given.processor_id, given.reason, given.error_type, given.error_message, given.error_detail, given.seconds
FROM (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("job_id" bigint, "attempt" bigint, "processor_id" text, "reason" text, "error_type" text, "error_message" text, "error_detail" text, "seconds" double precision)) AS given

INSERT INTO notifications (job_id, type, owner, subject, status, reason, message) SELECT given.job_id, given.type, given.owner, given.subject, given.status, given.reason, given.message
FROM (SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS document ("job_id" bigint, "type" text, "owner" text, "subject" text, "status" text, "reason" text, "message" text)) AS given

SELECT webhooks.id
FROM webhooks
WHERE webhooks.paused_at IS NULL
LIMIT 1

-- heartbeat

UPDATE processors SET beat_no=(processors.beat_no + %(beat_no_1)s::BIGINT), beat_at=statement_timestamp(), lease_until=(statement_timestamp() + make_interval(%(make_interval_1)s::INTEGER, %(make_interval_2)s::INTEGER, %(make_interval_3)s::INTEGER, %(make_interval_4)s::INTEGER, %(make_interval_5)s::INTEGER, %(make_interval_6)s::INTEGER, CAST(%(param_1)s AS FLOAT(53)))) WHERE processors.id = %(id_1)s::VARCHAR AND processors.status IN (%(status_1_1)s::VARCHAR, %(status_1_2)s::VARCHAR)

-- upkeep with nothing to do

SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.run_at > statement_timestamp()
LIMIT %(param_1)s::INTEGER

SELECT jobs.id
FROM jobs
WHERE jobs.status = 'scheduled' AND jobs.run_at <= statement_timestamp()
LIMIT %(param_1)s::INTEGER

SELECT jobs.id
FROM jobs
WHERE jobs.cancel_requested AND jobs.status IN ('pending', 'scheduled', 'waiting', 'paused') AND coalesce(jobs.reason, %(coalesce_1)s::VARCHAR) != 'children'
LIMIT %(param_1)s::INTEGER
