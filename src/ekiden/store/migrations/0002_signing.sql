-- Keys that mail is signed with, and what sends bounces of forwarded mail back. What is secret is sealed (services.keys).

CREATE TABLE dkim_key (
  domain TEXT NOT NULL,                  -- A-labels, lower case: d= of its signatures
  selector TEXT NOT NULL,                -- lower case: s= of its signatures
  algorithm TEXT NOT NULL,               -- rsa or ed25519
  status TEXT NOT NULL,                  -- store.dkim_keys.KeyStatus: new, active, old
  public {BYTES} NOT NULL,               -- what p= of its record holds, before base64
  sealed {BYTES} NOT NULL,               -- the private key, PKCS #8, sealed
  changed_at {INT} NOT NULL,             -- when it got this status
  PRIMARY KEY (domain, selector)
) {CLUSTERED};

CREATE TABLE srs_secret (
  id {KEY},                              -- the highest one signs, all check
  sealed {BYTES} NOT NULL,
  created_at {INT} NOT NULL
) {TABLE};

-- Senders whose address does not fit into another one.
CREATE TABLE srs_path (
  token TEXT NOT NULL PRIMARY KEY,
  path TEXT NOT NULL,                    -- path_text
  until {INT} NOT NULL
) {CLUSTERED};
CREATE INDEX srs_path_end ON srs_path (until);
