ALTER TABLE run DROP COLUMN host_worst, DROP COLUMN host_flags;
