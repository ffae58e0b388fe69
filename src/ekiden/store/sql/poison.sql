-- name: poison_note
-- How often something was in work when a process died, or how often it broke our own code.
INSERT INTO property (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: poison_one
-- What is known of one.
SELECT value FROM property WHERE name = :name;

-- name: poison_all
-- What is known of all of one kind.
SELECT name, value FROM property WHERE name >= :first AND name < :end ORDER BY name;

-- name: poison_forget
-- It is trusted again, or gone.
DELETE FROM property WHERE name >= :first AND name < :end;

-- name: poison_set_aside
-- Held until a person has seen to it, whoever has a lease; not what is finished.
UPDATE delivery SET status = 'held', lease_owner = '', lease_until = 0, reply = :reply WHERE id = :id AND finished_at IS NULL;
