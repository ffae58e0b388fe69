-- name: mailbox_insert
-- A new mailbox.
INSERT INTO mailbox (account_id, name_key, name, special_use, uid_validity, uid_next, modseq, messages, unseen, bytes,
                     recent_from, unseen_from)
VALUES (:account, :key, :name, :special_use, :uid_validity, 1, 1, 0, 0, 0, 1, 1) RETURNING id;

-- name: mailbox_by_name
-- By the name that is compared.
SELECT id, account_id, name, special_use, uid_validity, uid_next, modseq, messages, unseen, bytes, recent_from, unseen_from
FROM mailbox WHERE account_id = :account AND name_key = :key;

-- name: mailbox_by_id
-- By id.
SELECT id, account_id, name, special_use, uid_validity, uid_next, modseq, messages, unseen, bytes, recent_from, unseen_from
FROM mailbox WHERE id = :id;

-- name: mailbox_by_use
-- The one with a special use.
SELECT id, account_id, name, special_use, uid_validity, uid_next, modseq, messages, unseen, bytes, recent_from, unseen_from
FROM mailbox WHERE account_id = :account AND special_use = :special_use ORDER BY id LIMIT 1;

-- name: mailboxes_of
-- All of an account.
SELECT id, account_id, name, special_use, uid_validity, uid_next, modseq, messages, unseen, bytes, recent_from, unseen_from
FROM mailbox WHERE account_id = :account ORDER BY name_key;

-- name: mailbox_count
-- How many an account has.
SELECT COUNT(*) FROM mailbox WHERE account_id = :account;

-- name: mailbox_rename
-- Another name.
UPDATE mailbox SET name = :name, name_key = :key WHERE id = :id;

-- name: mailbox_delete
-- The row alone.
DELETE FROM mailbox WHERE id = :id;

-- name: mailbox_recent
-- What is recent has been shown to a session.
UPDATE mailbox SET recent_from = uid_next WHERE id = :id AND recent_from <> uid_next;

-- name: mailbox_deliver
-- One message more: its UID is uid_next - 1 of the result.
UPDATE mailbox SET uid_next = uid_next + 1, modseq = modseq + 1, messages = messages + 1, unseen = unseen + :unseen,
  bytes = bytes + :size, unseen_from = CASE WHEN :unseen = 1 AND unseen = 0 THEN uid_next ELSE unseen_from END
WHERE id = :id RETURNING uid_next, modseq;

-- name: mailbox_deliver_all
-- Many messages more, all without \\Seen: the last UID is uid_next - 1 of the result, the last modseq is the other.
UPDATE mailbox SET uid_next = uid_next + :count, modseq = modseq + :count, messages = messages + :count, unseen = unseen + :count,
  bytes = bytes + :size, unseen_from = CASE WHEN unseen = 0 THEN uid_next ELSE unseen_from END
WHERE id = :id RETURNING uid_next, modseq;

-- name: mailbox_touch
-- A new modseq for a change of flags or an expunge, and what it does to the counts.
UPDATE mailbox SET modseq = modseq + 1, messages = messages + :messages, unseen = unseen + :unseen, bytes = bytes + :bytes,
  unseen_from = CASE WHEN unseen_from > :seen_again THEN :seen_again ELSE unseen_from END
WHERE id = :id RETURNING modseq;

-- name: mailbox_unseen_from
-- The first message without \Seen has been looked for.
UPDATE mailbox SET unseen_from = :uid WHERE id = :id;

-- name: subscription_insert
-- Subscribe.
INSERT INTO subscription (account_id, name_key, name) VALUES (:account, :key, :name) ON CONFLICT (account_id, name_key) DO NOTHING;

-- name: subscription_delete
-- Unsubscribe.
DELETE FROM subscription WHERE account_id = :account AND name_key = :key;

-- name: subscriptions_of
-- All of an account.
SELECT name FROM subscription WHERE account_id = :account ORDER BY name_key;

-- name: subscriptions_delete
-- All of an account, when it goes.
DELETE FROM subscription WHERE account_id = :account;

-- name: keyword_insert
-- A keyword that the mailbox has not had.
INSERT INTO keyword (mailbox_id, name_key, name) VALUES (:mailbox, :key, :name) ON CONFLICT (mailbox_id, name_key) DO NOTHING;

-- name: keywords_of
-- All that the mailbox has had.
SELECT name FROM keyword WHERE mailbox_id = :mailbox ORDER BY name_key;

-- name: keywords_delete
-- With the mailbox.
DELETE FROM keyword WHERE mailbox_id = :mailbox;

-- name: doom
-- Its copies are dropped bit by bit.
INSERT INTO doomed (mailbox_id) VALUES (:mailbox) ON CONFLICT (mailbox_id) DO NOTHING;

-- name: expunged_delete
-- With the mailbox.
DELETE FROM expunged WHERE mailbox_id = :mailbox;
