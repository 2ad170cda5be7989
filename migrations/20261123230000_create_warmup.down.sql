DROP TABLE warmup;
ALTER TABLE run DROP COLUMN warmup_version;
ALTER TABLE measurement DROP COLUMN loops;
