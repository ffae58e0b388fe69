-- name: refused_insert
-- A journey that ended with a refusal.
INSERT INTO refused (id, at, message_id, sender, recipients, reply, steps)
VALUES (:id, :at, :message_id, :sender, :recipients, :reply, :steps);

-- name: refused_steps
-- One journey.
SELECT steps FROM refused WHERE id = :id;

-- name: refused_by_message_id
-- By Message-ID, the newest first.
SELECT id FROM refused WHERE message_id = :text ORDER BY at DESC LIMIT :count;

-- name: refused_latest
-- The newest first; text: a part of sender, recipients or Message-ID in lower case, or nothing.
SELECT id, at, message_id, sender, recipients, reply FROM refused
WHERE :text = '' OR INSTR(LOWER(sender), :text) > 0 OR INSTR(LOWER(recipients), :text) > 0 OR INSTR(LOWER(message_id), :text) > 0
ORDER BY at DESC LIMIT :count;

-- name: refused_forget
-- What is old.
DELETE FROM refused WHERE id IN (SELECT id FROM refused WHERE at < :before ORDER BY at LIMIT :count);

-- name: refused_beyond
-- When the newest of those came that are too many.
SELECT at FROM refused ORDER BY at DESC LIMIT 1 OFFSET :most;
