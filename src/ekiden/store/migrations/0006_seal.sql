-- What an alias sends on is sealed (ARC) when it leaves.

ALTER TABLE envelope ADD COLUMN seal_by TEXT NOT NULL DEFAULT '';  -- the domain that seals it, A-labels; '': none
