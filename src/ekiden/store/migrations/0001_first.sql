-- The first schema. Times are milliseconds since 1970 (UTC) unless a column says otherwise; ids are those of ekiden.base.ids.
-- No column of a secondary index changes at every delivery, and no index entry lands on a random page for it: that, more than
-- the number of statements, decides how many messages a second are committed (bench/store.py).

CREATE TABLE account (
  id {KEY},
  name TEXT NOT NULL UNIQUE,             -- the login name; ASCII letters in lower case, NFC
  password TEXT NOT NULL,                -- the stored form of sasl.passwords; '' lets nobody in
  disabled {INT} NOT NULL,
  quota_bytes {INT},                     -- NULL: no limit
  uid_validity {INT} NOT NULL,           -- the last UIDVALIDITY given to a mailbox of the account
  created_at {INT} NOT NULL
) {TABLE};

CREATE TABLE address (
  key TEXT NOT NULL PRIMARY KEY,         -- store.paths.path_key
  path TEXT NOT NULL,                    -- store.paths.path_text: as it was written
  account_id {INT} NOT NULL,
  position {INT} NOT NULL                -- 0: the first address of the account
) {CLUSTERED};
CREATE INDEX address_of_account ON address (account_id, position);

CREATE TABLE alias (
  key TEXT NOT NULL,
  path TEXT NOT NULL,
  target TEXT NOT NULL,                  -- path_text of a local or an outside address
  PRIMARY KEY (key, target)
) {CLUSTERED};

CREATE TABLE domain (
  name TEXT NOT NULL PRIMARY KEY,        -- A-labels, lower case
  catch_all TEXT,                        -- path_text of who gets mail for unknown local parts, or NULL
  created_at {INT} NOT NULL
) {CLUSTERED};

CREATE TABLE mailbox (
  id {KEY},
  account_id {INT} NOT NULL,
  name_key TEXT NOT NULL,                -- store.mailboxes.name_key: what is compared
  name TEXT NOT NULL,                    -- Unicode, "/" between levels
  special_use TEXT,                      -- "\Sent" … (RFC 6154 §2), or NULL
  uid_validity {INT} NOT NULL,
  uid_next {INT} NOT NULL,
  modseq {INT} NOT NULL,
  messages {INT} NOT NULL,
  unseen {INT} NOT NULL,
  bytes {INT} NOT NULL,
  recent_from {INT} NOT NULL,            -- UIDs from here on have been shown to no session (RFC 3501 §2.3.2)
  unseen_from {INT} NOT NULL,            -- no UID below is without \Seen; the first one may be higher
  UNIQUE (account_id, name_key)
) {TABLE};

CREATE TABLE subscription (
  account_id {INT} NOT NULL,
  name_key TEXT NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (account_id, name_key)
) {CLUSTERED};

CREATE TABLE keyword (
  mailbox_id {INT} NOT NULL,
  name_key TEXT NOT NULL,                -- ASCII letters in lower case
  name TEXT NOT NULL,
  PRIMARY KEY (mailbox_id, name_key)
) {CLUSTERED};

-- Content once, however many copies. Small columns come first: reading them does not touch the pages of the content.
CREATE TABLE message (
  id {INT} PRIMARY KEY,                  -- EnvelopeId
  received_at {INT} NOT NULL,
  message_id TEXT NOT NULL,              -- the header field without <>, or ''
  gone {INT} NOT NULL,                   -- 1: content dropped, the row stays as the head of its journey
  sender TEXT,                           -- reverse path without <>; '' is the null path; NULL: came by IMAP APPEND
  size {INT} NOT NULL,                   -- bytes of the content
  header_bytes {INT} NOT NULL,           -- where the body begins in the content
  sent_at {INT},
  blob_id TEXT,                          -- the file of the content, or NULL: it is in this row
  sha256 {BYTES} NOT NULL,
  subject TEXT NOT NULL,
  parts {BYTES} NOT NULL,
  structure {BYTES} NOT NULL,
  envelope {BYTES} NOT NULL,
  prefix {BYTES} NOT NULL,
  content {BYTES}
) {TABLE};
-- Covers the search by Message-ID from the newest backwards. Ordered by time, because an index ordered by Message-ID would
-- dirty one random page more for each message: a third of the cost of a commit.
CREATE INDEX message_by_time ON message (received_at, message_id);
CREATE INDEX message_gone ON message (received_at) WHERE gone = 1;
CREATE INDEX message_blob ON message (blob_id) WHERE blob_id IS NOT NULL;

CREATE TABLE entry (
  mailbox_id {INT} NOT NULL,
  uid {INT} NOT NULL,
  modseq {INT} NOT NULL,
  created_modseq {INT} NOT NULL,         -- grows with uid
  flags {INT} NOT NULL,                  -- bits of store.flags
  keywords TEXT NOT NULL,                -- sorted, a blank between
  internal_date {INT} NOT NULL,
  size {INT} NOT NULL,                   -- bytes that a reader gets, prefix included
  message_id {INT} NOT NULL,
  delivered_to TEXT NOT NULL,            -- '' where no Delivered-To is shown
  fetched {INT} NOT NULL,                -- 1: the first fetch is in the journey
  PRIMARY KEY (mailbox_id, uid)
) {CLUSTERED};
CREATE INDEX entry_of_message ON entry (message_id);
-- What was changed after it had come; new messages are found by uid, so a delivery does not touch this index.
CREATE INDEX entry_changed ON entry (mailbox_id, modseq) WHERE modseq > created_modseq;
CREATE INDEX entry_deleted ON entry (mailbox_id, uid) WHERE flags & 8 <> 0;

CREATE TABLE expunged (
  mailbox_id {INT} NOT NULL,
  modseq {INT} NOT NULL,
  uid {INT} NOT NULL,
  PRIMARY KEY (mailbox_id, modseq, uid)
) {CLUSTERED};

-- Messages that have lost a copy: their content goes once nobody names it.
CREATE TABLE freed (
  message_id {INT} PRIMARY KEY
) {TABLE};

-- Folders that are gone and whose copies are still to be dropped, some at a time, so that no transaction gets long.
CREATE TABLE doomed (
  mailbox_id {INT} PRIMARY KEY
) {TABLE};

CREATE TABLE envelope (
  id {INT} PRIMARY KEY,                  -- EnvelopeId
  message_id {INT} NOT NULL,             -- whose content it carries: mostly its own id
  sender TEXT NOT NULL,                  -- path_text
  received_at {INT} NOT NULL,
  body TEXT NOT NULL,
  utf8 {INT} NOT NULL,
  return_full {INT} NOT NULL,
  envid TEXT,
  peer TEXT NOT NULL                     -- JSON
) {TABLE};
CREATE INDEX envelope_of_message ON envelope (message_id);

CREATE TABLE delivery (
  id {KEY},
  envelope_id {INT} NOT NULL,
  recipient TEXT NOT NULL,               -- path_text
  original TEXT,                         -- ORCPT as the sender wrote it
  notify {INT} NOT NULL,
  next_hop TEXT NOT NULL,                -- a domain, or an address in brackets
  status TEXT NOT NULL,                  -- store.queue.Status: due, done, failed, expired, held
  due_at {INT} NOT NULL,
  attempts {INT} NOT NULL,
  lease_owner TEXT NOT NULL,
  lease_until {INT} NOT NULL,            -- 0: not leased
  queued_at {INT} NOT NULL,
  delay_reported_at {INT},               -- NULL: the sender has not been told of a delay
  finished_at {INT},                     -- NULL: due or held
  reply TEXT                             -- JSON of the last Reply, or NULL
) {TABLE};
CREATE INDEX delivery_due ON delivery (due_at) WHERE status = 'due';
CREATE INDEX delivery_leased ON delivery (lease_until) WHERE lease_until > 0;
CREATE INDEX delivery_hop ON delivery (next_hop, due_at) WHERE status = 'due';
CREATE INDEX delivery_of_envelope ON delivery (envelope_id);
CREATE INDEX delivery_finished ON delivery (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE journey (
  message_id {INT} NOT NULL,
  seq {INT} NOT NULL,
  steps {BYTES} NOT NULL,                -- mail.journey.encode_steps
  PRIMARY KEY (message_id, seq)
) {CLUSTERED};

CREATE TABLE counter (
  key TEXT NOT NULL PRIMARY KEY,
  count {INT} NOT NULL,
  ends_at {INT} NOT NULL                 -- when the window ends and the count is forgotten
) {CLUSTERED};
CREATE INDEX counter_end ON counter (ends_at);

CREATE TABLE lease (
  name TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  until {INT} NOT NULL
) {CLUSTERED};

CREATE TABLE property (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) {CLUSTERED};
