ALTER TABLE repository DROP COLUMN synthetic;
