-- What readers teach about mail that they want and do not want.

-- What has been taught and is still to be learned; the last word about a message counts.
CREATE TABLE lesson (
  account_id {INT} NOT NULL,
  message_id {INT} NOT NULL,
  side TEXT NOT NULL,                    -- spam or ham
  PRIMARY KEY (account_id, message_id)
) {CLUSTERED};

-- Whose words are counted together: an account, or everybody (0). To forget is to take this row away.
CREATE TABLE learner (
  id {KEY},
  account_id {INT} NOT NULL UNIQUE,
  spam {INT} NOT NULL,                   -- messages
  ham {INT} NOT NULL,
  words {INT} NOT NULL                   -- rows of word
) {TABLE};

-- Learners that are gone and whose rows are still to be dropped, some at a time.
CREATE TABLE unlearned (
  learner_id {INT} PRIMARY KEY
) {TABLE};

CREATE TABLE learned (
  learner_id {INT} NOT NULL,
  sha256 {BYTES} NOT NULL,               -- of the content
  side TEXT NOT NULL,
  day {INT} NOT NULL,                    -- days since 1970, UTC
  PRIMARY KEY (learner_id, sha256)
) {CLUSTERED};
CREATE INDEX learned_day ON learned (day);

CREATE TABLE word (
  learner_id {INT} NOT NULL,
  key {INT} NOT NULL,                    -- mail.words.key_of
  spam {INT} NOT NULL,                   -- messages with it
  ham {INT} NOT NULL,
  day {INT} NOT NULL,                    -- when it was taught last
  PRIMARY KEY (learner_id, key)
) {CLUSTERED};
CREATE INDEX word_once ON word (day) WHERE spam + ham <= 1;
