DROP TABLE pull_request;
DROP TABLE delivery;
ALTER TABLE repository DROP COLUMN due_at, DROP COLUMN forge_paused_until;
