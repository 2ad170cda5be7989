DROP INDEX run_host;
DROP TABLE control_judged;
DROP TABLE host_epoch;
UPDATE job SET reason = 'requested' WHERE reason = 'control';
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check CHECK (reason IN ('newest', 'gap', 'release', 'requested'));
ALTER TABLE runtime DROP COLUMN control;
DROP TABLE noise_floor;
