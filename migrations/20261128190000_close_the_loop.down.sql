DELETE FROM verdict WHERE held IN ('unconfirmed', 'refuted');
ALTER TABLE verdict DROP CONSTRAINT verdict_held_check;
ALTER TABLE verdict ADD CONSTRAINT verdict_held_check
    CHECK (held IN ('repetition_pending', 'control_pending', 'control_unsteady', 'control_moved'));
UPDATE series SET detected_at = NULL;

ALTER TABLE job DROP COLUMN confirmation_id, DROP COLUMN confirmation_round;
-- Jobs that only the loop asks for have no reason left; their runs stay.
UPDATE job SET state = 'cancelled', finished_at = now() WHERE reason IN ('confirmation', 'bisection') AND state IN ('queued', 'running');
UPDATE job SET reason = 'requested' WHERE reason IN ('confirmation', 'bisection');
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check
    CHECK (reason IN ('newest', 'gap', 'release', 'requested', 'control', 'repetition'));
DROP INDEX job_open_work;
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason NOT IN ('requested', 'repetition');

DROP TABLE confirmation, change_point, regression_event, regression;
