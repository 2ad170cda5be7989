DROP TABLE thinned_partition;
ALTER TABLE artefact DROP COLUMN stored_at, DROP COLUMN removed_at;
