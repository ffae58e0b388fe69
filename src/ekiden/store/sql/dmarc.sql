-- name: dmarc_size
-- How many domains and how many kinds of mail are counted of one day.
SELECT COUNT(*), COALESCE(SUM(kinds), 0) FROM dmarc_policy WHERE day = :day;

-- name: dmarc_policy_note
-- The policy by which mail was judged; no row if the day has been reported.
INSERT INTO dmarc_policy (day, domain, record, organisation, method, kinds) VALUES (:day, :domain, :record, :organisation, :method, 0)
ON CONFLICT (day, domain) DO UPDATE SET record = excluded.record, organisation = excluded.organisation, method = excluded.method
WHERE dmarc_policy.reported_at IS NULL
RETURNING kinds;

-- name: dmarc_policy_known
-- Whether something is counted for a domain.
SELECT 1 FROM dmarc_policy WHERE day = :day AND domain = :domain;

-- name: dmarc_policy_kinds
-- How many kinds it has now.
UPDATE dmarc_policy SET kinds = :kinds WHERE day = :day AND domain = :domain;

-- name: dmarc_count_add
-- More of a kind that there is.
UPDATE dmarc_count SET count = count + :count WHERE day = :day AND domain = :domain AND key = :key;

-- name: dmarc_count_insert
-- The first of a kind.
INSERT INTO dmarc_count (day, domain, key, count, detail) VALUES (:day, :domain, :key, :count, :detail);

-- name: dmarc_due
-- What is to be reported of days that are over.
SELECT day, domain FROM dmarc_policy WHERE day < :before AND reported_at IS NULL ORDER BY day, domain LIMIT :count;

-- name: dmarc_policy_one
-- The policy of a domain on a day, unless it has been reported.
SELECT record, organisation, method FROM dmarc_policy WHERE day = :day AND domain = :domain AND reported_at IS NULL;

-- name: dmarc_counts
-- All kinds of mail of a domain on a day.
SELECT count, detail FROM dmarc_count WHERE day = :day AND domain = :domain ORDER BY key;

-- name: dmarc_reported
-- It has been reported.
UPDATE dmarc_policy SET reported_at = :now, kinds = 0 WHERE day = :day AND domain = :domain AND reported_at IS NULL;

-- name: dmarc_counts_drop
-- What has been reported is not counted any more.
DELETE FROM dmarc_count WHERE day = :day AND domain = :domain;

-- name: dmarc_policies_forget
-- Days that are long over.
DELETE FROM dmarc_policy WHERE day < :before;

-- name: dmarc_counts_forget
-- The same.
DELETE FROM dmarc_count WHERE day < :before;

-- name: dmarc_report_insert
-- A report of somebody else's; no row if it is there already.
INSERT INTO dmarc_report (domain, organisation, report_id, email, begin_at, end_at, policy, message_id, received_at)
VALUES (:domain, :organisation, :report_id, :email, :begin, :end, :policy, :message, :now)
ON CONFLICT (domain, organisation, report_id) DO NOTHING
RETURNING id;

-- name: dmarc_row_insert
-- One of its rows.
INSERT INTO dmarc_row (report_id, seq, source, count, disposition, dkim, spf, header_from, envelope_from, detail)
VALUES (:report, :seq, :source, :count, :disposition, :dkim, :spf, :header_from, :envelope_from, :detail);

-- name: dmarc_sources
-- Who sent mail in the name of a domain, or of any, in reports of periods that ended after a time.
SELECT dmarc_report.domain, dmarc_row.source, dmarc_row.header_from, dmarc_row.dkim, dmarc_row.spf, dmarc_row.disposition,
       SUM(dmarc_row.count), COUNT(DISTINCT dmarc_report.organisation)
FROM dmarc_report JOIN dmarc_row ON dmarc_row.report_id = dmarc_report.id
WHERE (:domain = '' OR dmarc_report.domain = :domain) AND dmarc_report.end_at >= :since
GROUP BY dmarc_report.domain, dmarc_row.source, dmarc_row.header_from, dmarc_row.dkim, dmarc_row.spf, dmarc_row.disposition
ORDER BY SUM(dmarc_row.count) DESC, dmarc_row.source, dmarc_row.header_from LIMIT :most;

-- name: dmarc_totals
-- All mail of those reports, and that of it which passed.
SELECT COUNT(DISTINCT dmarc_report.id), COALESCE(SUM(dmarc_row.count), 0),
       COALESCE(SUM(CASE WHEN dmarc_row.dkim = 'pass' OR dmarc_row.spf = 'pass' THEN dmarc_row.count ELSE 0 END), 0)
FROM dmarc_report LEFT JOIN dmarc_row ON dmarc_row.report_id = dmarc_report.id
WHERE (:domain = '' OR dmarc_report.domain = :domain) AND dmarc_report.end_at >= :since;

-- name: dmarc_reports_before
-- Reports that came before a time.
SELECT id FROM dmarc_report WHERE received_at < :before ORDER BY received_at LIMIT :count;

-- name: dmarc_rows_delete
-- The rows of one.
DELETE FROM dmarc_row WHERE report_id = :report;

-- name: dmarc_report_delete
-- The report.
DELETE FROM dmarc_report WHERE id = :report;

-- name: dmarc_looked_get
-- How far the mailboxes have been looked through for reports.
SELECT value FROM property WHERE name = 'dmarc-looked';

-- name: dmarc_looked_put
-- The same, from now on.
INSERT INTO property (name, value) VALUES ('dmarc-looked', :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: dmarc_mail_after
-- The next copies in a mailbox, whoever they came to.
SELECT uid, message_id, delivered_to, size FROM entry WHERE mailbox_id = :mailbox AND uid > :after ORDER BY uid LIMIT :count;
