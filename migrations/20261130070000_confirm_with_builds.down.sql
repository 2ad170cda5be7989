ALTER TABLE confirmation DROP COLUMN builds;
