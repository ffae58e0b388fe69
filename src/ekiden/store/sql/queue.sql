-- name: envelope_insert
-- What goes with the copies in the queue; there already where another recipient brought it.
INSERT INTO envelope (id, message_id, sender, received_at, body, utf8, return_full, envid, peer, seal_by)
VALUES (:id, :message, :sender, :received_at, :body, :utf8, :return_full, :envid, :peer, :seal_by) ON CONFLICT (id) DO NOTHING;

-- name: envelope_get
-- One envelope.
SELECT id, message_id, sender, received_at, body, utf8, return_full, envid, peer, seal_by FROM envelope WHERE id = :id;

-- name: delivery_insert
-- One copy for one recipient.
INSERT INTO delivery (envelope_id, recipient, original, notify, next_hop, status, due_at, attempts, lease_owner, lease_until,
                      queued_at, delay_reported_at, finished_at, reply)
VALUES (:envelope, :recipient, :original, :notify, :next_hop, :status, :now, 0, '', 0, :now, NULL, NULL, :reply) RETURNING id;

-- name: due_batches
-- Envelopes and next hops that are due and that nobody works on, the longest due first, at most :per_hop for one next hop.
-- Only the :sample copies that are longest due are looked at, so that a long queue does not cost more than a short one.
SELECT envelope_id, next_hop, due FROM (
  SELECT envelope_id, next_hop, MIN(due_at) AS due, ROW_NUMBER() OVER (PARTITION BY next_hop ORDER BY MIN(due_at)) AS place
  FROM (
    SELECT envelope_id, next_hop, due_at FROM delivery
    WHERE status = 'due' AND due_at <= :now AND lease_until < :at
      AND next_hop NOT IN (SELECT value FROM {EACH}(:busy))
    ORDER BY due_at LIMIT :sample
  ) AS oldest
  GROUP BY envelope_id, next_hop
) AS found
WHERE place <= :per_hop ORDER BY due LIMIT :count;

-- name: lease
-- Take all due copies of one envelope for one next hop. (By the index of envelopes: || keeps the engine off that of next hops.)
UPDATE delivery SET lease_owner = :owner, lease_until = :until
WHERE envelope_id = :envelope AND next_hop || '' = :next_hop AND status = 'due' AND due_at <= :now AND lease_until < :at
RETURNING id, recipient, original, notify, attempts, queued_at, delay_reported_at;

-- name: delivery_finish
-- Done, failed or expired; only by who holds the lease.
UPDATE delivery SET status = :status, finished_at = :now, attempts = attempts + 1, lease_owner = '', lease_until = 0, reply = :reply
WHERE id = :id AND lease_owner = :owner AND lease_until = :until AND finished_at IS NULL;

-- name: delivery_again
-- Due again later; only by who holds the lease.
UPDATE delivery SET due_at = :due_at, attempts = attempts + 1, lease_owner = '', lease_until = 0, reply = :reply
WHERE id = :id AND lease_owner = :owner AND lease_until = :until AND finished_at IS NULL;

-- name: delivery_release
-- Give a lease back without having tried.
UPDATE delivery SET lease_owner = '', lease_until = 0 WHERE id = :id AND lease_owner = :owner AND lease_until = :until;

-- name: delivery_delay_reported
-- The sender has been told that it takes long.
UPDATE delivery SET delay_reported_at = :now WHERE id = :id;

-- name: next_due
-- When there is something to do for who holds no lease.
SELECT due_at FROM delivery WHERE status = 'due' AND lease_until = 0 ORDER BY due_at LIMIT 1;

-- name: deliveries_not_later
-- After the wall clock was set back: nothing waits longer than a wait of the schedule lasts.
UPDATE delivery SET due_at = :latest WHERE status = 'due' AND lease_until = 0 AND due_at > :latest;

-- name: leases_forget
-- Leases of a process that is known to be gone.
UPDATE delivery SET lease_owner = '', lease_until = 0 WHERE lease_until > 0 AND lease_owner = :owner
RETURNING envelope_id, recipient, finished_at;

-- name: deliveries_list
-- For people, unfinished ones, the longest due first.
SELECT delivery.id, delivery.envelope_id, delivery.recipient, delivery.next_hop, delivery.status, delivery.attempts,
       delivery.due_at, delivery.queued_at, delivery.reply, envelope.sender, delivery.lease_until
FROM delivery JOIN envelope ON envelope.id = delivery.envelope_id
WHERE delivery.finished_at IS NULL ORDER BY delivery.due_at LIMIT :count;

-- name: deliveries_of
-- All of one envelope.
SELECT delivery.id, delivery.envelope_id, delivery.recipient, delivery.next_hop, delivery.status, delivery.attempts,
       delivery.due_at, delivery.queued_at, delivery.reply, envelope.sender, delivery.lease_until
FROM delivery JOIN envelope ON envelope.id = delivery.envelope_id
WHERE delivery.envelope_id = :envelope ORDER BY delivery.id;

-- name: deliveries_status
-- By hand: held, due; not those that are finished.
UPDATE delivery SET status = :status, due_at = :due_at WHERE envelope_id = :envelope AND finished_at IS NULL;

-- name: deliveries_drop
-- By hand: no more tries, no report.
UPDATE delivery SET status = 'failed', finished_at = :now, reply = :reply WHERE envelope_id = :envelope AND finished_at IS NULL;

-- name: deliveries_count
-- How many wait, and since when the oldest does.
SELECT status, COUNT(*), MIN(queued_at) FROM delivery WHERE finished_at IS NULL GROUP BY status;

-- name: envelopes_finished
-- Envelopes with a copy that was finished some time ago, if none is unfinished or was finished later.
SELECT DISTINCT envelope_id FROM delivery AS old WHERE old.finished_at <= :before AND NOT EXISTS (
  SELECT 1 FROM delivery WHERE delivery.envelope_id = old.envelope_id
    AND (delivery.finished_at IS NULL OR delivery.finished_at > :before)
) LIMIT :count;

-- name: deliveries_delete
-- With their envelope.
DELETE FROM delivery WHERE envelope_id = :envelope;

-- name: envelope_delete
-- Nothing of it is left to do.
DELETE FROM envelope WHERE id = :envelope;
