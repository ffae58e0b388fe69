-- name: freed_some
-- Messages that have lost a copy.
SELECT message_id FROM freed ORDER BY message_id LIMIT :count;

-- name: freed_done
-- Looked at.
DELETE FROM freed WHERE message_id = :id;

-- name: message_is_named
-- Whether a mailbox or the queue needs a message.
SELECT 1 FROM entry WHERE message_id = :id UNION ALL SELECT 1 FROM envelope WHERE message_id = :id LIMIT 1;

-- name: envelope_freed
-- An envelope goes: its content may not be needed any more.
INSERT INTO freed (message_id) SELECT message_id FROM envelope WHERE id = :envelope ON CONFLICT (message_id) DO NOTHING;

-- name: doomed_one
-- A folder that is gone and still has copies.
SELECT mailbox_id FROM doomed ORDER BY mailbox_id LIMIT 1;

-- name: doomed_range
-- The lowest UIDs of its copies.
SELECT MIN(uid), MAX(uid), COUNT(*) FROM (
  SELECT uid FROM entry WHERE mailbox_id = :mailbox ORDER BY uid LIMIT :count
) AS lowest;

-- name: doomed_done
-- It has no copies any more.
DELETE FROM doomed WHERE mailbox_id = :mailbox;

-- name: gone_before
-- Messages whose content went and which came before a time: their journeys are forgotten.
SELECT id FROM message WHERE received_at < :before AND gone = 1 ORDER BY received_at LIMIT :count;

-- name: journey_delete
-- All steps of a message.
DELETE FROM journey WHERE message_id = :id;

-- name: message_delete
-- The last of a message.
DELETE FROM message WHERE id = :id AND gone = 1;

-- name: expunged_count
-- How many expunged UIDs are remembered for a mailbox.
SELECT COUNT(*) FROM expunged WHERE mailbox_id = :mailbox;

-- name: lease_forget
-- Named leases that ended some time ago.
DELETE FROM lease WHERE until < :before;
