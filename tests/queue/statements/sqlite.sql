-- claim

SELECT first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= (strftime('%Y-%m-%d %H:%M:%f000', 'now'))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1 OFFSET ?) AS id
FROM (SELECT json_extract(value, '$.type') AS "type", json_extract(value, '$.status') AS "status" FROM json_each(?)) AS wanted
LIMIT 1000000000 OFFSET ?) AS heads JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT ? OFFSET ?

BEGIN IMMEDIATE

SELECT processors.id
FROM processors
WHERE processors.id = ? AND processors.status = ? AND processors.lease_until > (strftime('%Y-%m-%d %H:%M:%f000', 'now'))

SELECT job_types.name, job_types.max_concurrent, job_types.rate, job_types.rate_free_for, job_types.paused = 1 OR coalesce(job_types.paused_until > (strftime('%Y-%m-%d %H:%M:%f000', 'now')), ?) = 1 AS paused, job_types.rate_free_at > (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS held
FROM job_types
WHERE job_types.name IN (?)

SELECT jobs.id, jobs.type, jobs.priority, jobs.created_at, jobs.concurrency_key, jobs."key"
FROM jobs
WHERE jobs.type = ? AND jobs.status = 'pending' AND (jobs.run_at IS NULL OR jobs.run_at <= (strftime('%Y-%m-%d %H:%M:%f000', 'now'))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT ? OFFSET ?

UPDATE jobs SET status=?, reason=?, attempt=(jobs.attempt + ?), processor_id=?, claim_no=?, started_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')), progress=?, progress_message=?, event_no=(jobs.event_no + ?) WHERE jobs.id IN (?) AND jobs.status = 'pending'

INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT jobs.id, jobs.event_no, jobs.attempt, 'state' AS kind, jobs.status, jobs.reason
FROM jobs
WHERE jobs.id IN (?)

SELECT jobs.id, jobs.type, jobs.priority, jobs.created_at, jobs.attempt, CASE WHEN (length(CAST(jobs.payload AS BLOB)) <= ?) THEN CAST(jobs.payload AS TEXT) END AS payload, length(CAST(jobs.payload AS BLOB)) AS payload_bytes, jobs.max_attempts, jobs.timeout_seconds, jobs.owner, jobs."key", jobs.subject, jobs.concurrency_key, jobs.crashes, jobs.trace_parent, coalesce(jobs.expires_at <= (strftime('%Y-%m-%d %H:%M:%f000', 'now')), ?) AS expired, (julianday(?) - julianday(coalesce(jobs.run_at, jobs.created_at))) * ? AS wait_seconds
FROM jobs
WHERE jobs.id IN (?)

-- claim of many types, none of them due

SELECT job_types.name, job_types.max_concurrent, job_types.rate, job_types.rate_free_for, job_types.paused = 1 OR coalesce(job_types.paused_until > (strftime('%Y-%m-%d %H:%M:%f000', 'now')), ?) = 1 AS paused, job_types.rate_free_at > (strftime('%Y-%m-%d %H:%M:%f000', 'now')) AS held
FROM job_types

SELECT first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= (strftime('%Y-%m-%d %H:%M:%f000', 'now'))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1 OFFSET ?) AS id
FROM (SELECT json_extract(value, '$.type') AS "type", json_extract(value, '$.status') AS "status" FROM json_each(?)) AS wanted
LIMIT 1000000000 OFFSET ?) AS heads JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT ? OFFSET ?

SELECT first.id, first.type, first.priority, first.created_at
FROM (SELECT (SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.type = wanted.type AND (jobs.run_at IS NULL OR jobs.run_at <= (strftime('%Y-%m-%d %H:%M:%f000', 'now'))) AND jobs.cancel_requested = 0 ORDER BY jobs.priority DESC, jobs.created_at, jobs.id
LIMIT 1 OFFSET ?) AS id
FROM (SELECT json_extract(value, '$.type') AS "type", json_extract(value, '$.status') AS "status" FROM json_each(?)) AS wanted
LIMIT 1000000000 OFFSET ?) AS heads JOIN jobs AS first ON first.id = heads.id ORDER BY first.priority DESC, first.created_at, first.id
LIMIT ? OFFSET ?

-- store events

BEGIN IMMEDIATE

SELECT jobs.id, jobs.event_no
FROM jobs JOIN (SELECT json_extract(value, '$.id') AS "id", json_extract(value, '$.processor_id') AS "processor_id", json_extract(value, '$.claim_no') AS "claim_no", json_extract(value, '$.count') AS "count", json_extract(value, '$.percent') AS "percent", json_extract(value, '$.message') AS "message" FROM json_each(?)) AS given ON jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no AND jobs.status = 'running' AND jobs.id IN (?) ORDER BY jobs.id

UPDATE jobs SET progress=CASE WHEN (given.percent IS NOT NULL) THEN given.percent ELSE jobs.progress END, progress_message=CASE WHEN (given.message IS NOT NULL) THEN given.message ELSE jobs.progress_message END, event_no=(jobs.event_no + given.count) FROM (SELECT json_extract(value, '$.id') AS "id", json_extract(value, '$.processor_id') AS "processor_id", json_extract(value, '$.claim_no') AS "claim_no", json_extract(value, '$.count') AS "count", json_extract(value, '$.percent') AS "percent", json_extract(value, '$.message') AS "message" FROM json_each(?)) AS given WHERE jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no AND jobs.status = 'running' AND jobs.id IN (?)

INSERT INTO job_events (job_id, number, attempt, kind, level, percent, text) SELECT given.job_id, given.number, given.attempt, given.kind, given.level, given.percent, given.text
FROM (SELECT json_extract(value, '$.job_id') AS "job_id", json_extract(value, '$.number') AS "number", json_extract(value, '$.attempt') AS "attempt", json_extract(value, '$.kind') AS "kind", json_extract(value, '$.level') AS "level", json_extract(value, '$.percent') AS "percent", json_extract(value, '$.text') AS "text" FROM json_each(?)) AS given ORDER BY given.job_id, given.number

-- settle

BEGIN IMMEDIATE

SELECT jobs.id, jobs.cancel_requested, jobs.parent_id, jobs.on_complete IS NOT NULL OR jobs.on_failure IS NOT NULL AS followed, (SELECT any_child.id
FROM jobs AS any_child
WHERE any_child.parent_id = jobs.id ORDER BY any_child.status, any_child.id
LIMIT 1 OFFSET ?) IS NOT NULL AS has_children
FROM jobs JOIN (SELECT json_extract(value, '$.id') AS "id", json_extract(value, '$.processor_id') AS "processor_id", json_extract(value, '$.claim_no') AS "claim_no" FROM json_each(?)) AS given ON jobs.id = given.id AND jobs.processor_id = given.processor_id AND jobs.claim_no = given.claim_no
WHERE jobs.status = 'running' AND jobs.id IN (?) ORDER BY jobs.id

UPDATE jobs SET status=given.status, reason=given.reason, run_at=CASE WHEN (given.delay IS NOT NULL) THEN strftime(?, ?, printf(?, CAST(given.delay AS FLOAT))) ELSE jobs.run_at END, attempt=(jobs.attempt - given.given_back), crashes=given.crashes, finished_at=CASE WHEN (given.status IN ('cancelled', 'completed', 'failed')) THEN (strftime('%Y-%m-%d %H:%M:%f000', 'now')) ELSE NULL END, progress=CASE WHEN (given.status = 'completed') THEN ? ELSE jobs.progress END, result=given.result, error_type=given.error_type, error_message=given.error_message, error_detail=given.error_detail, cpu_seconds=given.cpu_seconds, max_rss_bytes=given.max_rss_bytes, event_no=(jobs.event_no + ?) FROM (SELECT json_extract(value, '$.id') AS "id", json_extract(value, '$.status') AS "status", json_extract(value, '$.reason') AS "reason", json_extract(value, '$.delay') AS "delay", json_extract(value, '$.given_back') AS "given_back", json_extract(value, '$.crashes') AS "crashes", json_extract(value, '$.result') AS "result", json_extract(value, '$.error_type') AS "error_type", json_extract(value, '$.error_message') AS "error_message", json_extract(value, '$.error_detail') AS "error_detail", json_extract(value, '$.cpu_seconds') AS "cpu_seconds", json_extract(value, '$.max_rss_bytes') AS "max_rss_bytes" FROM json_each(?)) AS given WHERE jobs.id = given.id AND jobs.id IN (?)

INSERT INTO job_events (job_id, number, attempt, kind, level, text) SELECT jobs.id, jobs.event_no, jobs.attempt, 'state' AS kind, jobs.status, jobs.reason
FROM jobs
WHERE jobs.id IN (?)

INSERT INTO job_errors (job_id, attempt, processor_id, reason, error_type, error_message, error_detail, seconds) SELECT given.job_id, given.attempt, given.processor_id, given.reason, given.error_type, given.error_message, given.error_detail, given.seconds
FROM (SELECT json_extract(value, '$.job_id') AS "job_id", json_extract(value, '$.attempt') AS "attempt", json_extract(value, '$.processor_id') AS "processor_id", json_extract(value, '$.reason') AS "reason", json_extract(value, '$.error_type') AS "error_type", json_extract(value, '$.error_message') AS "error_message", json_extract(value, '$.error_detail') AS "error_detail", json_extract(value, '$.seconds') AS "seconds" FROM json_each(?)) AS given

INSERT INTO notifications (job_id, type, owner, subject, status, reason, message) SELECT given.job_id, given.type, given.owner, given.subject, given.status, given.reason, given.message
FROM (SELECT json_extract(value, '$.job_id') AS "job_id", json_extract(value, '$.type') AS "type", json_extract(value, '$.owner') AS "owner", json_extract(value, '$.subject') AS "subject", json_extract(value, '$.status') AS "status", json_extract(value, '$.reason') AS "reason", json_extract(value, '$.message') AS "message" FROM json_each(?)) AS given

SELECT webhooks.id
FROM webhooks
WHERE webhooks.paused_at IS NULL
LIMIT 1 OFFSET ?

-- heartbeat

BEGIN IMMEDIATE

UPDATE processors SET beat_no=(processors.beat_no + ?), beat_at=(strftime('%Y-%m-%d %H:%M:%f000', 'now')), lease_until=strftime(?, ?, printf(?, CAST(? AS FLOAT))) WHERE processors.id = ? AND processors.status IN (?, ?)

-- upkeep with nothing to do

SELECT jobs.id
FROM jobs
WHERE jobs.status = 'pending' AND jobs.run_at > (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
LIMIT ? OFFSET ?

SELECT jobs.id
FROM jobs
WHERE jobs.status = 'scheduled' AND jobs.run_at <= (strftime('%Y-%m-%d %H:%M:%f000', 'now'))
LIMIT ? OFFSET ?

SELECT jobs.id
FROM jobs
WHERE jobs.cancel_requested = 1 AND jobs.status IN ('pending', 'scheduled', 'waiting', 'paused') AND coalesce(jobs.reason, ?) != 'children'
LIMIT ? OFFSET ?
