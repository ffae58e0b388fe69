-- name: message_insert
-- A message, once.
INSERT INTO message (id, received_at, message_id, gone, sender, size, header_bytes, sent_at, blob_id, sha256, subject, parts,
                     structure, envelope, prefix, content)
VALUES (:id, :received_at, :message_id, 0, :sender, :size, :header_bytes, :sent_at, :blob_id, :sha256, :subject, :parts,
        :structure, :envelope, :prefix, :content);

-- name: message_content
-- What is sent on: the lines on top, and the content or its file.
SELECT prefix, blob_id, content, size, sha256, gone FROM message WHERE id = :id;

-- name: message_facts
-- About a message, without its content.
SELECT received_at, message_id, sender, size, header_bytes, sent_at, blob_id, subject, parts, structure, envelope, prefix, gone
FROM message WHERE id = :id;

-- name: entry_insert
-- A copy in a mailbox.
INSERT INTO entry (mailbox_id, uid, modseq, created_modseq, flags, keywords, internal_date, size, message_id, delivered_to, fetched)
VALUES (:mailbox, :uid, :modseq, :modseq, :flags, :keywords, :internal_date, :size, :message, :delivered_to, 0);

-- name: entries_between
-- Copies in a range of UIDs.
SELECT uid, modseq, flags, keywords, internal_date, size, message_id FROM entry
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last ORDER BY uid;

-- name: entries_changed
-- Known messages whose flags have changed after a modseq.
SELECT uid, modseq, flags, keywords, internal_date, size, message_id FROM entry {VIA_CHANGED}
WHERE mailbox_id = :mailbox AND modseq > :since AND modseq > created_modseq AND uid < :uid_next ORDER BY uid;

-- name: entry_first_unseen
-- The first without \Seen.
SELECT uid FROM entry WHERE mailbox_id = :mailbox AND uid >= :first AND flags & 1 = 0 ORDER BY uid LIMIT 1;

-- name: details_between
-- Copies with what was computed at arrival.
SELECT entry.uid, entry.modseq, entry.flags, entry.keywords, entry.internal_date, entry.size, entry.message_id,
       entry.delivered_to, message.sender, message.prefix, message.size, message.header_bytes, message.envelope,
       message.structure, message.parts, message.message_id, message.subject, message.sent_at, message.blob_id
FROM entry JOIN message ON message.id = entry.message_id
WHERE entry.mailbox_id = :mailbox AND entry.uid BETWEEN :first AND :last ORDER BY entry.uid;

-- name: contents_between
-- The same, with the content where it lies in the row.
SELECT entry.uid, entry.modseq, entry.flags, entry.keywords, entry.internal_date, entry.size, entry.message_id,
       entry.delivered_to, message.sender, message.prefix, message.size, message.header_bytes, message.envelope,
       message.structure, message.parts, message.message_id, message.subject, message.sent_at, message.blob_id, message.content,
       message.sha256
FROM entry JOIN message ON message.id = entry.message_id
WHERE entry.mailbox_id = :mailbox AND entry.uid BETWEEN :first AND :last ORDER BY entry.uid LIMIT :count;

-- name: expunged_since
-- What went after a modseq.
SELECT uid FROM expunged WHERE mailbox_id = :mailbox AND modseq > :since AND uid < :uid_next ORDER BY uid;

-- name: entry_fetched
-- The first fetch is noted; no row changes if it was.
UPDATE entry SET fetched = 1 WHERE mailbox_id = :mailbox AND uid = :uid AND fetched = 0;

-- name: entry_count_between
-- How many copies there are in a range.
SELECT COUNT(*), COALESCE(SUM(size), 0) FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last;

-- name: message_forget
-- Drop the content, keep the row as the head of its journey.
UPDATE message SET gone = 1, content = NULL, blob_id = NULL, prefix = :nothing, parts = :nothing, structure = :nothing,
  envelope = :nothing WHERE id = :id;

-- name: blob_named
-- Whether a row names a file.
SELECT 1 FROM message WHERE blob_id = :blob LIMIT 1;
