DROP INDEX verdict_run;
ALTER TABLE verdict DROP COLUMN run_id;
DROP INDEX job_host;
DROP INDEX job_suspected_run;
ALTER TABLE job DROP COLUMN suspected_run_id;
