ALTER TABLE host_epoch DROP COLUMN steady_until;
ALTER TABLE control_judged DROP CONSTRAINT control_judged_change_check, DROP COLUMN settled_run_id, DROP COLUMN threshold,
    DROP COLUMN change, DROP COLUMN standing;
DROP INDEX verdict_held;
ALTER TABLE verdict DROP CONSTRAINT verdict_held_change_check, DROP COLUMN held;
