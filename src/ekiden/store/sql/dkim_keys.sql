-- name: dkim_key_insert
-- One more key.
INSERT INTO dkim_key (domain, selector, algorithm, status, public, sealed, changed_at)
VALUES (:domain, :selector, :algorithm, :status, :public, :sealed, :now);

-- name: dkim_keys_of
-- All keys of a domain.
SELECT domain, selector, algorithm, status, public, sealed, changed_at FROM dkim_key WHERE domain = :domain ORDER BY selector;

-- name: dkim_keys_all
-- For lists.
SELECT domain, selector, algorithm, status, public, sealed, changed_at FROM dkim_key ORDER BY domain, selector;

-- name: dkim_domains_signing
-- Those whose mail is signed.
SELECT DISTINCT domain FROM dkim_key WHERE status = 'active';

-- name: dkim_key_status
-- It is used, or no longer.
UPDATE dkim_key SET status = :status, changed_at = :now WHERE domain = :domain AND selector = :selector;

-- name: dkim_key_delete
-- It is gone for good.
DELETE FROM dkim_key WHERE domain = :domain AND selector = :selector;

-- name: dkim_version
-- Changes with every change of a key.
SELECT value FROM property WHERE name = 'dkim.version';

-- name: dkim_version_next
-- Something about a key has changed.
INSERT INTO property (name, value) VALUES ('dkim.version', '1')
ON CONFLICT (name) DO UPDATE SET value = CAST(CAST(property.value AS {INT}) + 1 AS TEXT);
