-- A result that is called changed has its host's control measured once more, to tell the host's drift from a real change.

ALTER TABLE job ADD COLUMN suspected_run_id bigint REFERENCES run;   -- the run that this control was queued because of
-- Once for a run, whatever the number of its series.
CREATE UNIQUE INDEX job_suspected_run ON job (suspected_run_id) WHERE suspected_run_id IS NOT NULL;
CREATE INDEX job_host ON job (host_id, runtime_id, id DESC) WHERE host_id IS NOT NULL;

ALTER TABLE verdict ADD COLUMN run_id bigint REFERENCES run;         -- the newest run of its point; NULL until it is made again
CREATE INDEX verdict_run ON verdict (run_id) WHERE state IN ('improved', 'regressed');
UPDATE series SET detected_at = NULL;
