-- claim

SELECT STRAIGHT_JOIN first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs FORCE INDEX (jobs_due)
WHERE jobs.status = wanted.status AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= (utc_timestamp(6))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1) AS id
FROM (SELECT * FROM JSON_TABLE(%(wanted)s, '$[*]' COLUMNS (`type` VARCHAR(200) COLLATE utf8mb4_bin PATH '$.type', `status` VARCHAR(200) COLLATE utf8mb4_bin PATH '$.status')) AS document) AS wanted
LIMIT 1000000000) AS heads INNER JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT %(most)s

SELECT processors.id
FROM processors
WHERE processors.id = %(claimant)s AND processors.status = %(status_1)s AND processors.lease_until > (utc_timestamp(6)) LOCK IN SHARE MODE

SELECT job_types.name, job_types.max_concurrent, job_types.rate, job_types.rate_free_for, job_types.paused = 1 OR coalesce(job_types.paused_until > (utc_timestamp(6)), %(coalesce_1)s) = 1 AS paused, job_types.rate_free_at > (utc_timestamp(6)) AS held
FROM job_types
WHERE job_types.name IN (%(name_1_1)s)

SELECT jobs.id, jobs.type, jobs.priority, jobs.created_at, jobs.concurrency_key, jobs.`key`
FROM jobs
WHERE jobs.type = %(wanted)s AND jobs.status = 'pending' AND (jobs.run_at IS NULL OR jobs.run_at <= (utc_timestamp(6))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT %(room)s FOR UPDATE SKIP LOCKED

UPDATE jobs SET status=%(status)s, reason=%(reason)s, attempt=(jobs.attempt + %(attempt_1)s), processor_id=%(claimant)s, claim_no=%(number)s, started_at=(utc_timestamp(6)), progress=%(progress)s, progress_message=%(progress_message)s, event_no=(jobs.event_no + %(event_no_1)s) WHERE jobs.id IN (%(id_1_1)s) AND jobs.status = 'pending'

INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT jobs.id, jobs.event_no, jobs.attempt, 'state' AS kind, jobs.status, jobs.reason
FROM jobs
WHERE jobs.id IN (%(ids_1)s)

SELECT jobs.id, jobs.type, jobs.priority, jobs.created_at, jobs.attempt, CASE WHEN (octet_length(jobs.payload) <= %(octet_length_1)s) THEN CAST(jobs.payload AS CHAR) END AS payload, octet_length(jobs.payload) AS payload_bytes, jobs.max_attempts, jobs.timeout_seconds, jobs.owner, jobs.`key`, jobs.subject, jobs.concurrency_key, jobs.crashes, jobs.trace_parent, coalesce(jobs.expires_at <= (utc_timestamp(6)), %(coalesce_1)s) AS expired, timestampdiff(MICROSECOND, coalesce(jobs.run_at, jobs.created_at), (utc_timestamp(6))) / %(timestampdiff_1)s AS wait_seconds
FROM jobs
WHERE jobs.id IN (%(id_1_1)s)

-- claim of many types, none of them due

SELECT job_types.name, job_types.max_concurrent, job_types.rate, job_types.rate_free_for, job_types.paused = 1 OR coalesce(job_types.paused_until > (utc_timestamp(6)), %(coalesce_1)s) = 1 AS paused, job_types.rate_free_at > (utc_timestamp(6)) AS held
FROM job_types

SELECT STRAIGHT_JOIN first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs FORCE INDEX (jobs_due)
WHERE jobs.status = wanted.status AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= (utc_timestamp(6))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1) AS id
FROM (SELECT * FROM JSON_TABLE(%(wanted)s, '$[*]' COLUMNS (`type` VARCHAR(200) COLLATE utf8mb4_bin PATH '$.type', `status` VARCHAR(200) COLLATE utf8mb4_bin PATH '$.status')) AS document) AS wanted
LIMIT 1000000000) AS heads INNER JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT %(most)s

SELECT STRAIGHT_JOIN first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs FORCE INDEX (jobs_due)
WHERE jobs.status = wanted.status AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= (utc_timestamp(6))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1) AS id
FROM (SELECT * FROM JSON_TABLE(%(wanted)s, '$[*]' COLUMNS (`type` VARCHAR(200) COLLATE utf8mb4_bin PATH '$.type', `status` VARCHAR(200) COLLATE utf8mb4_bin PATH '$.status')) AS document) AS wanted
LIMIT 1000000000) AS heads INNER JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT %(most)s

-- store events

SELECT jobs.id, jobs.event_no
FROM jobs INNER JOIN (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`id` BIGINT PATH '$.id', `processor_id` LONGTEXT PATH '$.processor_id', `claim_no` BIGINT PATH '$.claim_no', `count` BIGINT PATH '$.count', `percent` DOUBLE PATH '$.percent', `message` LONGTEXT PATH '$.message')) AS document) AS given ON jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no AND jobs.status = 'running' AND jobs.id IN (%(ids_1)s) ORDER BY jobs.id FOR UPDATE SKIP LOCKED

UPDATE jobs, (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`id` BIGINT PATH '$.id', `processor_id` LONGTEXT PATH '$.processor_id', `claim_no` BIGINT PATH '$.claim_no', `count` BIGINT PATH '$.count', `percent` DOUBLE PATH '$.percent', `message` LONGTEXT PATH '$.message')) AS document) AS given SET jobs.progress=CASE WHEN (given.percent IS NOT NULL) THEN given.percent ELSE jobs.progress END, jobs.progress_message=CASE WHEN (given.message IS NOT NULL) THEN given.message ELSE jobs.progress_message END, jobs.event_no=(jobs.event_no + given.count) WHERE jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no AND jobs.status = 'running' AND jobs.id IN (%(ids_1)s)

INSERT INTO job_events (job_id, number, attempt, kind, level, percent, text) SELECT given.job_id, given.number, given.attempt, given.kind, given.level, given.percent, given.text
FROM (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`job_id` BIGINT PATH '$.job_id', `number` BIGINT PATH '$.number', `attempt` BIGINT PATH '$.attempt', `kind` LONGTEXT PATH '$.kind', `level` LONGTEXT PATH '$.level', `percent` DOUBLE PATH '$.percent', `text` LONGTEXT PATH '$.text')) AS document) AS given ORDER BY given.job_id, given.number

-- settle

SELECT jobs.id, jobs.cancel_requested, jobs.parent_id, jobs.on_complete IS NOT NULL OR jobs.on_failure IS NOT NULL AS followed, (SELECT any_child.id
FROM jobs AS any_child FORCE INDEX (jobs_parent)
WHERE any_child.parent_id = jobs.id ORDER BY any_child.status, any_child.id
LIMIT 1) IS NOT NULL AS has_children
FROM jobs INNER JOIN (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`id` BIGINT PATH '$.id', `processor_id` LONGTEXT PATH '$.processor_id', `claim_no` BIGINT PATH '$.claim_no')) AS document) AS given ON jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no
WHERE jobs.status = 'running' AND jobs.id IN (%(ids_1)s) ORDER BY jobs.id FOR UPDATE SKIP LOCKED

UPDATE jobs, (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`id` BIGINT PATH '$.id', `status` LONGTEXT PATH '$.status', `reason` LONGTEXT PATH '$.reason', `delay` DOUBLE PATH '$.delay', `given_back` BIGINT PATH '$.given_back', `crashes` BIGINT PATH '$.crashes', `result` LONGTEXT PATH '$.result', `error_type` LONGTEXT PATH '$.error_type', `error_message` LONGTEXT PATH '$.error_message', `error_detail` LONGTEXT PATH '$.error_detail', `cpu_seconds` DOUBLE PATH '$.cpu_seconds', `max_rss_bytes` BIGINT PATH '$.max_rss_bytes')) AS document) AS given SET jobs.status=given.status, jobs.reason=given.reason, jobs.run_at=CASE WHEN (given.delay IS NOT NULL) THEN timestampadd(MICROSECOND, round(given.delay * %(param_1)s), (utc_timestamp(6))) ELSE jobs.run_at END, jobs.attempt=(jobs.attempt - given.given_back), jobs.crashes=given.crashes, jobs.finished_at=CASE WHEN (given.status IN ('cancelled', 'completed', 'failed')) THEN (utc_timestamp(6)) ELSE NULL END, jobs.progress=CASE WHEN (given.status = 'completed') THEN %(param_2)s ELSE jobs.progress END, jobs.result=given.result, jobs.error_type=given.error_type, jobs.error_message=given.error_message, jobs.error_detail=given.error_detail, jobs.cpu_seconds=given.cpu_seconds, jobs.max_rss_bytes=given.max_rss_bytes, jobs.event_no=(jobs.event_no + %(event_no_1)s) WHERE jobs.id = given.id AND jobs.id IN (%(ids_1)s)

INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT jobs.id, jobs.event_no, jobs.attempt, 'state' AS kind, jobs.status, jobs.reason
FROM jobs
WHERE jobs.id IN (%(ids_1)s)

INSERT INTO job_errors (job_id, attempt, processor_id, reason, error_type, error_message, error_detail, seconds) SELECT given.job_id, given.attempt, given.processor_id, given.reason, given.error_type, given.error_message, given.error_detail, given.seconds
FROM (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`job_id` BIGINT PATH '$.job_id', `attempt` BIGINT PATH '$.attempt', `processor_id` LONGTEXT PATH '$.processor_id', `reason` LONGTEXT PATH '$.reason', `error_type` LONGTEXT PATH '$.error_type', `error_message` LONGTEXT PATH '$.error_message', `error_detail` LONGTEXT PATH '$.error_detail', `seconds` DOUBLE PATH '$.seconds')) AS document) AS given

INSERT INTO notifications (job_id, type, owner, subject, status, reason, message) SELECT given.job_id, given.type, given.owner, given.subject, given.status, given.reason, given.message
FROM (SELECT * FROM JSON_TABLE(%(given)s, '$[*]' COLUMNS (`job_id` BIGINT PATH '$.job_id', `type` LONGTEXT PATH '$.type', `owner` LONGTEXT PATH '$.owner', `subject` LONGTEXT PATH '$.subject', `status` LONGTEXT PATH '$.status', `reason` LONGTEXT PATH '$.reason', `message` LONGTEXT PATH '$.message')) AS document) AS given

SELECT webhooks.id
FROM webhooks
WHERE webhooks.paused_at IS NULL
LIMIT 1

-- heartbeat

UPDATE processors SET beat_no=(processors.beat_no + %(beat_no_1)s), beat_at=(utc_timestamp(6)), lease_until=timestampadd(MICROSECOND, round(%(param_1)s * %(param_2)s), (utc_timestamp(6))) WHERE processors.id = %(id_1)s AND processors.status IN (%(status_1_1)s, %(status_1_2)s)

-- upkeep with nothing to do

SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.run_at > (utc_timestamp(6))
LIMIT %(param_1)s

SELECT jobs.id
FROM jobs
WHERE jobs.status = 'scheduled' AND jobs.run_at <= (utc_timestamp(6))
LIMIT %(param_1)s

SELECT jobs.id
FROM jobs
WHERE jobs.cancel_requested = 1 AND jobs.status IN ('pending', 'scheduled', 'waiting', 'paused') AND coalesce(jobs.reason, %(coalesce_1)s) != 'children'
LIMIT %(param_1)s
