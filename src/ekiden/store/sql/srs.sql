-- name: srs_secret_insert
-- One more secret, which signs from now on.
INSERT INTO srs_secret (sealed, created_at) VALUES (:sealed, :now);

-- name: srs_secrets
-- The newest first.
SELECT sealed, created_at FROM srs_secret ORDER BY id DESC;

-- name: srs_secrets_expire
-- Those whose successor is so old that no valid address can be theirs.
DELETE FROM srs_secret WHERE EXISTS (SELECT 1 FROM srs_secret AS later WHERE later.id > srs_secret.id AND later.created_at < :before);

-- name: srs_path_insert
-- An address that is too long for another one.
INSERT INTO srs_path (token, path, until) VALUES (:token, :path, :until);

-- name: srs_path_get
-- What a token stands for.
SELECT path FROM srs_path WHERE token = :token AND until >= :now;

-- name: srs_paths_expire
-- Some of those that nobody may use any more.
DELETE FROM srs_path WHERE token IN (SELECT token FROM srs_path WHERE until < :now ORDER BY until LIMIT 20);
