ALTER TABLE host DROP COLUMN applies_patches;
DROP INDEX job_open_work;
UPDATE job SET state = 'cancelled', finished_at = now(), lease_until = NULL WHERE reason = 'try' AND state IN ('queued', 'running');
UPDATE job SET reason = 'requested' WHERE reason = 'try';
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason NOT IN ('requested', 'repetition', 'confirmation', 'bisection');
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check
    CHECK (reason IN ('newest', 'gap', 'release', 'requested', 'control', 'repetition', 'confirmation', 'bisection'));
ALTER TABLE job DROP COLUMN try_id, DROP COLUMN try_round, DROP COLUMN suite_name;
DROP TABLE try_result;
DROP TABLE try_part;
DROP TABLE try_run;
ALTER TABLE commit DROP CONSTRAINT commit_patch_has_base, DROP COLUMN patch_sha256;
DROP TABLE patch;
