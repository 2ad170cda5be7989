-- A run that was measured under bad conditions is repeated, and its repetition counts in its place.

ALTER TABLE runtime ADD COLUMN repeat_marked integer NOT NULL DEFAULT 1 CHECK (repeat_marked >= 0);

ALTER TABLE run
    ADD COLUMN marked boolean NOT NULL DEFAULT false,       -- something during it made its results unfit (wire::HostFlag::marks)
    ADD COLUMN superseded_by bigint REFERENCES run;         -- the unmarked repetition that counts; its measurements have no position
UPDATE run SET marked = true WHERE EXISTS (
    SELECT 1 FROM jsonb_to_recordset(host_flags) AS flag (name text, severity text)
    WHERE severity = 'unfit' AND name LIKE '%\_meanwhile');

ALTER TABLE job
    ADD COLUMN repeats_run_id bigint REFERENCES run,        -- the marked run that it repeats
    ADD COLUMN repetition integer NOT NULL DEFAULT 0,       -- 1: of a run that is none itself; 2: of that one …
    ADD CONSTRAINT job_repetition_check CHECK ((repeats_run_id IS NULL) = (repetition = 0) AND repetition >= 0);
-- A run is repeated once, whatever is tried twice.
CREATE UNIQUE INDEX job_repeats_run ON job (repeats_run_id) WHERE repeats_run_id IS NOT NULL;
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check
    CHECK (reason IN ('newest', 'gap', 'release', 'requested', 'control', 'repetition'));
DROP INDEX job_open_work;
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason NOT IN ('requested', 'repetition');
