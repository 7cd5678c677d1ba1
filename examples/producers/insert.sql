-- Jobs by plain SQL, the same on PostgreSQL, MariaDB and SQLite:
--
--     psql "$DATABASE_URL" -f insert.sql
--     mariadb app < insert.sql
--     sqlite3 jobtable.db < insert.sql

INSERT INTO jobs (type) VALUES ('greet');

INSERT INTO jobs (type, payload, priority, owner, subject)
VALUES ('greet', '{"name": "Ada"}', 7, 'ada', 'chapter:123');

-- Many at once are one statement.
INSERT INTO jobs (type, payload)
VALUES ('greet', '{"name": "Grace"}'), ('greet', '{"name": "Edsger"}');
