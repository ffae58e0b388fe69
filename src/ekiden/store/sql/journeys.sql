-- name: journey_insert
-- The next row of a message's journey.
INSERT INTO journey (message_id, seq, steps)
VALUES (:message, (SELECT COALESCE(MAX(seq) + 1, 0) FROM journey WHERE message_id = :message), :steps);

-- name: journey_begin
-- The first row of a message's journey.
INSERT INTO journey (message_id, seq, steps) VALUES (:message, 0, :steps);

-- name: journey_of
-- All rows in order.
SELECT steps FROM journey WHERE message_id = :message ORDER BY seq;

-- name: journey_by_message_id
-- Messages with this Message-ID, the newest first.
SELECT id FROM message WHERE message_id = :text AND received_at >= :since ORDER BY received_at DESC LIMIT :count;

-- name: journey_exists
-- Whether there is anything about a message.
SELECT 1 FROM journey WHERE message_id = :message LIMIT 1;
