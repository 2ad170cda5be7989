ALTER TABLE runtime DROP COLUMN paused_at;
ALTER TABLE host DROP COLUMN disabled_at;
