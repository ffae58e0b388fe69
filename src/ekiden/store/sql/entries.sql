-- name: entry_runs
-- All UIDs of a mailbox as runs without a hole.
SELECT MIN(uid), MAX(uid) FROM (
  SELECT uid, uid - ROW_NUMBER() OVER (ORDER BY uid) AS run FROM entry WHERE mailbox_id = :mailbox
) AS numbered GROUP BY run ORDER BY 1;

-- name: uids_between
-- Which UIDs of a range exist.
SELECT uid FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last ORDER BY uid;

-- name: deleted_between
-- What carries \Deleted, through an index that only holds such.
SELECT uid FROM entry {VIA_DELETED}
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last AND flags & 8 <> 0 ORDER BY uid;

-- name: deleted_count
-- How many carry \Deleted.
SELECT COUNT(*) FROM entry {VIA_DELETED} WHERE mailbox_id = :mailbox AND flags & 8 <> 0;

-- name: sum_between
-- What a range adds to the counts of its mailbox: bytes, and messages without \Seen.
SELECT COALESCE(SUM(size), 0), COALESCE(SUM(1 - (flags & 1)), 0) FROM entry
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last;

-- name: count_to_flag
-- How many copies of a range a change of flags concerns, how many of them are seen, and the lowest.
SELECT COUNT(*), COALESCE(SUM(flags & 1), 0), COALESCE(MIN(uid), 0) FROM entry
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last AND flags & :mask <> :on AND modseq <= :limit;

-- name: flag_between
-- Set the bits of a mask.
UPDATE entry SET flags = (flags & ~:mask) | :on, modseq = :modseq
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last AND flags & :mask <> :on AND modseq <= :limit;

-- name: flags_between
-- Flags that are to be changed one by one.
SELECT uid, flags, keywords FROM entry
WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last AND modseq <= :limit ORDER BY uid;

-- name: flag_one
-- New flags for one copy.
UPDATE entry SET flags = :flags, keywords = :keywords, modseq = :modseq WHERE mailbox_id = :mailbox AND uid = :uid;

-- name: keywords_between
-- Which sets of keywords a range has.
SELECT DISTINCT keywords FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last AND keywords <> '';

-- name: mailbox_deliver_many
-- Several messages more: the first UID and the modseq they get.
UPDATE mailbox SET uid_next = uid_next + :count, modseq = modseq + 1, messages = messages + :count, unseen = unseen + :unseen,
  bytes = bytes + :size
WHERE id = :id RETURNING uid_next - :count, modseq;

-- name: copy_between
-- Copies of a range without holes, numbered from a start.
INSERT INTO entry (mailbox_id, uid, modseq, created_modseq, flags, keywords, internal_date, size, message_id, delivered_to, fetched)
SELECT :target, :start + uid - :first, :modseq, :modseq, flags, keywords, internal_date, size, message_id, delivered_to, fetched
FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last;

-- name: note_expunged
-- For those who were away when they went.
INSERT INTO expunged (mailbox_id, modseq, uid)
SELECT mailbox_id, :modseq, uid FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last;

-- name: note_freed
-- Content that may not be needed any more; upkeep looks.
INSERT INTO freed (message_id)
SELECT message_id FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last
ON CONFLICT (message_id) DO NOTHING;

-- name: delete_between
-- Copies go.
DELETE FROM entry WHERE mailbox_id = :mailbox AND uid BETWEEN :first AND :last;
