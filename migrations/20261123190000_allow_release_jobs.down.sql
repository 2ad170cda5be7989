UPDATE job SET reason = 'gap' WHERE reason = 'release';
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check CHECK (reason IN ('newest', 'gap', 'requested'));
