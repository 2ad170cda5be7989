-- The release before a branch's head is measured too: the overview compares with it.
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check CHECK (reason IN ('newest', 'gap', 'release', 'requested'));
