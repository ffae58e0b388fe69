-- name: heartbeat_put
-- The clocks of who carries the queue out, a moment ago.
INSERT INTO property (name, value) VALUES ('heartbeat', :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: heartbeat_get
-- What they were when he last said so.
SELECT value FROM property WHERE name = 'heartbeat';
