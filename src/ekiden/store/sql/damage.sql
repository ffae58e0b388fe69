-- name: damage_note
-- A message is known to be damaged.
INSERT INTO property (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: damage_noted
-- All that is known to be damaged.
SELECT name, value FROM property WHERE name >= :first AND name < :end ORDER BY name;

-- name: damage_forget
-- It is whole again, or gone.
DELETE FROM property WHERE name = :name;

-- name: delivery_park
-- Not to be sent as it is; only by who holds the lease.
UPDATE delivery SET status = 'held', lease_owner = '', lease_until = 0, reply = :reply
WHERE id = :id AND lease_owner = :owner AND lease_until = :until;
