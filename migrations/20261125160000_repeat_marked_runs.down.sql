UPDATE job SET reason = 'requested' WHERE reason = 'repetition';
DROP INDEX job_open_work;
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason <> 'requested';
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check
    CHECK (reason IN ('newest', 'gap', 'release', 'requested', 'control'));
DROP INDEX job_repeats_run;
ALTER TABLE job DROP CONSTRAINT job_repetition_check, DROP COLUMN repetition, DROP COLUMN repeats_run_id;
UPDATE measurement SET position = place.position
    FROM run, runtime, branch_commit place
    WHERE run.id = run_id AND superseded_by IS NOT NULL AND runtime.id = run.runtime_id
      AND place.branch_id = runtime.branch_id AND place.commit_id = run.commit_id;
ALTER TABLE run DROP COLUMN superseded_by, DROP COLUMN marked;
ALTER TABLE runtime DROP COLUMN repeat_marked;
