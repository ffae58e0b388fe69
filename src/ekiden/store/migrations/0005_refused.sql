-- Mail that was refused or put off at its end: its journey, and nothing of its content. There is no row of message for it.

CREATE TABLE refused (
  id {INT} PRIMARY KEY,                  -- EnvelopeId
  at {INT} NOT NULL,
  message_id TEXT NOT NULL,              -- the header field without <>, or ''
  sender TEXT NOT NULL,                  -- reverse path without <>
  recipients TEXT NOT NULL,              -- the first ones, ", " between
  reply TEXT NOT NULL,                   -- what the peer was told
  steps {BYTES} NOT NULL                 -- mail.journey.encode_steps
) {TABLE};
-- Covers the search by Message-ID and the end of what is kept; the table is small.
CREATE INDEX refused_by_time ON refused (at, message_id);
