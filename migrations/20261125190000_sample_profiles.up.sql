-- Profiles by samples beside those of counted instructions. They never compare: neither another tool's, nor another source's.
ALTER TABLE profile DROP CONSTRAINT profile_tool_check;
ALTER TABLE profile ADD CONSTRAINT profile_tool_check CHECK (tool IN ('callgrind', 'sampling', 'sampling_python'));
ALTER TABLE profile ADD COLUMN source text CHECK (source IN ('pmu', 'pmu-emulated', 'valgrind', 'software'));
UPDATE profile SET source = 'valgrind';
ALTER TABLE profile ALTER COLUMN source SET NOT NULL;
COMMENT ON COLUMN profile.total IS 'callgrind: instructions of one loop; sampling, sampling_python: samples';
COMMENT ON COLUMN profile.components IS '[[component, of the total]], the largest first';
