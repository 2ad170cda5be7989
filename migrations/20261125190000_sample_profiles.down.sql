COMMENT ON COLUMN profile.components IS NULL;
COMMENT ON COLUMN profile.total IS NULL;
DELETE FROM profile WHERE tool <> 'callgrind';
ALTER TABLE profile DROP COLUMN source;
ALTER TABLE profile DROP CONSTRAINT profile_tool_check;
ALTER TABLE profile ADD CONSTRAINT profile_tool_check CHECK (tool IN ('callgrind'));
