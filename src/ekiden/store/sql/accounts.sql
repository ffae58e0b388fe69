-- name: account_insert
-- A new account.
INSERT INTO account (name, password, disabled, quota_bytes, uid_validity, created_at)
VALUES (:name, :password, 0, :quota, 0, :now) RETURNING id;

-- name: account_by_name
-- The account of a login name.
SELECT id, name, password, disabled, quota_bytes FROM account WHERE name = :name;

-- name: account_by_id
-- One account.
SELECT id, name, password, disabled, quota_bytes FROM account WHERE id = :account;

-- name: account_by_address
-- The account that owns an address.
SELECT account.id, account.name, account.password, account.disabled, account.quota_bytes
FROM address JOIN account ON account.id = address.account_id WHERE address.key = :key;

-- name: account_oldest
-- The account that was made first.
SELECT id, name, password, disabled, quota_bytes FROM account ORDER BY id LIMIT 1;

-- name: accounts_all
-- For lists.
SELECT id, name, password, disabled, quota_bytes FROM account ORDER BY name;

-- name: account_inbox
-- Where its mail goes, and how much there is in all its mailboxes.
SELECT (SELECT id FROM mailbox WHERE account_id = :account AND name_key = 'INBOX'),
       (SELECT COALESCE(SUM(bytes), 0) FROM mailbox WHERE account_id = :account);

-- name: account_password
-- A new password.
UPDATE account SET password = :password WHERE id = :account;

-- name: account_disable
-- Lets nobody in and takes no mail, or the reverse.
UPDATE account SET disabled = :disabled WHERE id = :account;

-- name: account_delete
-- The row alone; what it owns goes first.
DELETE FROM account WHERE id = :account;

-- name: account_uid_validity
-- The next UIDVALIDITY of a mailbox of the account: never one that was given before.
UPDATE account SET uid_validity = CASE WHEN uid_validity >= :now_s THEN uid_validity + 1 ELSE :now_s END
WHERE id = :account RETURNING uid_validity;

-- name: address_insert
-- One more address of an account.
INSERT INTO address (key, path, account_id, position)
VALUES (:key, :path, :account, (SELECT COALESCE(MAX(position) + 1, 0) FROM address WHERE account_id = :account));

-- name: addresses_of
-- In the order in which they were given.
SELECT path FROM address WHERE account_id = :account ORDER BY position;

-- name: address_delete
-- One address of an account.
DELETE FROM address WHERE key = :key AND account_id = :account;

-- name: addresses_delete
-- All of an account.
DELETE FROM address WHERE account_id = :account;

-- name: alias_insert
-- One target of an alias.
INSERT INTO alias (key, path, target) VALUES (:key, :path, :target) ON CONFLICT (key, target) DO NOTHING;

-- name: alias_targets
-- What an alias stands for.
SELECT target FROM alias WHERE key = :key ORDER BY target;

-- name: aliases_all
-- For lists.
SELECT path, target FROM alias ORDER BY key, target;

-- name: alias_delete
-- An alias, all of it.
DELETE FROM alias WHERE key = :key;

-- name: alias_target_delete
-- One target of an alias.
DELETE FROM alias WHERE key = :key AND target = :target;

-- name: postmaster_any
-- An alias of postmaster at any domain.
SELECT key FROM alias WHERE key >= 'postmaster@' AND key < 'postmasterA' ORDER BY key LIMIT 1;

-- name: domain_insert
-- One more domain of ours.
INSERT INTO domain (name, catch_all, created_at) VALUES (:name, NULL, :now);

-- name: domain_get
-- A domain of ours.
SELECT name, catch_all FROM domain WHERE name = :name;

-- name: domains_all
-- For lists.
SELECT name, catch_all FROM domain ORDER BY name;

-- name: domain_delete
-- No longer ours.
DELETE FROM domain WHERE name = :name;

-- name: domain_catch_all
-- Who gets mail for unknown local parts.
UPDATE domain SET catch_all = :target WHERE name = :name;
