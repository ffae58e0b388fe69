-- name: lesson_put
-- Something is to be learned of a message.
INSERT INTO lesson (account_id, message_id, side) VALUES (:account, :message, :side)
ON CONFLICT (account_id, message_id) DO UPDATE SET side = excluded.side;

-- name: lessons_between
-- The same of all messages of a range.
INSERT INTO lesson (account_id, message_id, side)
SELECT :account, message_id, :side FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last
ON CONFLICT (account_id, message_id) DO UPDATE SET side = excluded.side;

-- name: lessons_marked
-- The same of those that carry one keyword and not the other.
INSERT INTO lesson (account_id, message_id, side)
SELECT :account, message_id, :side FROM entry
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last
  AND INSTR(' ' || LOWER(keywords) || ' ', :with) > 0 AND INSTR(' ' || LOWER(keywords) || ' ', :without) = 0
ON CONFLICT (account_id, message_id) DO UPDATE SET side = excluded.side;

-- name: lessons_of_kept
-- The newest messages of INBOX that were read, answered or flagged, are not to be thrown away and have taught nothing: they are wanted.
INSERT INTO lesson (account_id, message_id, side)
SELECT :account, message.id, :side FROM (
  SELECT uid, message_id, flags, keywords FROM entry
  WHERE mailbox_id = (SELECT id FROM mailbox WHERE account_id = :account AND name_key = 'INBOX') ORDER BY uid DESC LIMIT :count
) AS newest JOIN message ON message.id = newest.message_id
WHERE newest.flags & 7 <> 0 AND newest.flags & 8 = 0 AND INSTR(' ' || LOWER(newest.keywords) || ' ', :without) = 0 AND message.gone = 0
  AND NOT EXISTS (SELECT 1 FROM lesson AS other WHERE other.account_id = :account AND other.message_id = message.id)
  AND NOT EXISTS (SELECT 1 FROM learned WHERE learned.learner_id = :learner AND learned.sha256 = message.sha256)
ORDER BY newest.uid DESC LIMIT :most;

-- name: lessons_next
-- Some that are to be learned.
SELECT account_id, message_id, side FROM lesson ORDER BY account_id, message_id LIMIT :count;

-- name: lesson_done
-- Learned, unless somebody has changed his mind meanwhile.
DELETE FROM lesson WHERE account_id = :account AND message_id = :message AND side = :side;

-- name: lessons_delete
-- All of an account.
DELETE FROM lesson WHERE account_id = :account;

-- name: lessons_waiting
-- How many are to be learned.
SELECT account_id, COUNT(*) FROM lesson GROUP BY account_id ORDER BY account_id;

-- name: learner_new
-- The first lesson of an account.
INSERT INTO learner (account_id, spam, ham, words) VALUES (:account, 0, 0, 0) RETURNING id;

-- name: learners_of
-- What these accounts have taught.
SELECT account_id, id, spam, ham, words FROM learner WHERE account_id IN (SELECT value FROM {EACH}(:accounts));

-- name: learners_all
-- What everybody has taught.
SELECT account_id, id, spam, ham, words FROM learner ORDER BY account_id;

-- name: learner_count
-- More lessons, or fewer.
UPDATE learner SET spam = spam + :spam, ham = ham + :ham, words = words + :words WHERE id = :learner;

-- name: learner_delete
-- All is forgotten.
DELETE FROM learner WHERE account_id = :account RETURNING id;

-- name: unlearned_put
-- Its rows are dropped bit by bit.
INSERT INTO unlearned (learner_id) VALUES (:learner);

-- name: unlearned_one
-- One whose rows are still there.
SELECT learner_id FROM unlearned ORDER BY learner_id LIMIT 1;

-- name: unlearned_words
-- Some of its words.
DELETE FROM word WHERE learner_id = :learner AND key IN (SELECT key FROM word WHERE learner_id = :learner LIMIT :count);

-- name: unlearned_messages
-- Some of its messages.
DELETE FROM learned WHERE learner_id = :learner AND sha256 IN (SELECT sha256 FROM learned WHERE learner_id = :learner LIMIT :count);

-- name: unlearned_done
-- Nothing is left.
DELETE FROM unlearned WHERE learner_id = :learner;

-- name: learned_get
-- What has been learned of a message.
SELECT side FROM learned WHERE learner_id = :learner AND sha256 = :sha256;

-- name: learned_put
-- It has been learned.
INSERT INTO learned (learner_id, sha256, side, day) VALUES (:learner, :sha256, :side, :day)
ON CONFLICT (learner_id, sha256) DO UPDATE SET side = excluded.side, day = excluded.day;

-- name: learned_forget
-- Old ones, which stay counted.
DELETE FROM learned WHERE (learner_id, sha256) IN (SELECT learner_id, sha256 FROM learned WHERE day < :before ORDER BY day LIMIT :count);

-- name: words_known
-- How many of these words have been counted.
SELECT COUNT(*) FROM word WHERE learner_id = :learner AND key IN (SELECT value FROM {EACH}(:keys));

-- name: words_more
-- One message more with these words.
INSERT INTO word (learner_id, key, spam, ham, day) SELECT :learner, value, :spam, :ham, :day FROM {EACH}(:keys) WHERE 1 = 1
ON CONFLICT (learner_id, key) DO UPDATE SET spam = spam + excluded.spam, ham = ham + excluded.ham, day = excluded.day;

-- name: words_more_of_known
-- The same, of those that have been counted only.
UPDATE word SET spam = spam + :spam, ham = ham + :ham, day = :day
WHERE learner_id = :learner AND key IN (SELECT value FROM {EACH}(:keys));

-- name: words_less
-- One message less with these words.
UPDATE word SET spam = MAX(0, spam - :spam), ham = MAX(0, ham - :ham)
WHERE learner_id = :learner AND key IN (SELECT value FROM {EACH}(:keys));

-- name: words_drop_once
-- Some that were seen once, from a place on.
DELETE FROM word WHERE learner_id = :learner AND key IN (
  SELECT key FROM word WHERE learner_id = :learner AND key > :start AND spam + ham <= 1 ORDER BY key LIMIT :count
);

-- name: words_once_before
-- Words that were seen once, long ago.
SELECT learner_id, key FROM word WHERE spam + ham <= 1 AND day < :before ORDER BY day LIMIT :count;

-- name: words_delete
-- These of one learner.
DELETE FROM word WHERE learner_id = :learner AND key IN (SELECT value FROM {EACH}(:keys));

-- name: words_counted
-- In how many messages of each kind these words were, for some learners.
SELECT learner_id, key, spam, ham FROM word
WHERE learner_id IN (SELECT value FROM {EACH}(:learners)) AND key IN (SELECT value FROM {EACH}(:keys));
