-- What DMARC said of mail that came, counted for the reports that its domains ask for; and the reports that others sent us.

CREATE TABLE dmarc_policy (
  day {INT} NOT NULL,                    -- days since 1970, UTC
  domain TEXT NOT NULL,                  -- where the record lies
  record TEXT NOT NULL,                  -- as published, the last one of the day
  organisation TEXT NOT NULL,
  method TEXT NOT NULL,                  -- how it was found: psl or treewalk
  kinds {INT} NOT NULL,                  -- rows of dmarc_count
  reported_at {INT},                     -- NULL: not yet
  PRIMARY KEY (day, domain)
) {CLUSTERED};

CREATE TABLE dmarc_count (
  day {INT} NOT NULL,
  domain TEXT NOT NULL,
  key {BYTES} NOT NULL,                  -- a digest of detail
  count {INT} NOT NULL,
  detail {BYTES} NOT NULL,               -- store.dmarc.Detail
  PRIMARY KEY (day, domain, key)
) {CLUSTERED};

CREATE TABLE dmarc_report (
  id {KEY},
  domain TEXT NOT NULL,                  -- which the report is about
  organisation TEXT NOT NULL,            -- who sent it, as it says itself
  report_id TEXT NOT NULL,
  email TEXT NOT NULL,
  begin_at {INT} NOT NULL,               -- seconds
  end_at {INT} NOT NULL,                 -- seconds
  policy TEXT NOT NULL,                  -- JSON: mailauth.dmarc_report.Published
  message_id {INT} NOT NULL,             -- the mail that it came in
  received_at {INT} NOT NULL,
  UNIQUE (domain, organisation, report_id)
) {TABLE};
CREATE INDEX dmarc_report_received ON dmarc_report (received_at);

CREATE TABLE dmarc_row (
  report_id {INT} NOT NULL,
  seq {INT} NOT NULL,
  source TEXT NOT NULL,
  count {INT} NOT NULL,
  disposition TEXT NOT NULL,
  dkim TEXT NOT NULL,                    -- aligned: pass or fail
  spf TEXT NOT NULL,
  header_from TEXT NOT NULL,
  envelope_from TEXT NOT NULL,
  detail TEXT NOT NULL,                  -- JSON: reasons, signatures, senders
  PRIMARY KEY (report_id, seq)
) {CLUSTERED};
