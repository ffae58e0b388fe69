-- name: lease_take
-- A named lease, if nobody else holds it.
INSERT INTO lease (name, owner, until) VALUES (:name, :owner, :until)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE lease.owner = excluded.owner OR lease.until < :now;

-- name: lease_drop
-- Give it back.
DELETE FROM lease WHERE name = :name AND owner = :owner;

-- name: leases_drop
-- Nobody is left of those who held them.
DELETE FROM lease WHERE name >= :first AND name < :last;

-- name: counter_add
-- Add to a counter; a window that is over begins anew.
INSERT INTO counter (key, count, ends_at) VALUES (:key, :amount, :ends_at)
ON CONFLICT (key) DO UPDATE SET count = CASE WHEN counter.ends_at <= :now THEN :amount ELSE counter.count + :amount END,
  ends_at = CASE WHEN counter.ends_at <= :now THEN :ends_at ELSE counter.ends_at END
RETURNING count;

-- name: counters_forget
-- Windows that are over.
DELETE FROM counter WHERE ends_at <= :now;
