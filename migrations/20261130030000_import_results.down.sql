DROP INDEX build_imported;
ALTER TABLE build DROP CONSTRAINT build_outcome_check;
-- The rule before holds for what comes; imported builds that are there stay as they are.
ALTER TABLE build ADD CONSTRAINT build_check CHECK ((artefact_sha256 IS NULL) = (failure IS NOT NULL)) NOT VALID;
DROP TABLE import;
ALTER TABLE runtime DROP COLUMN imported;
ALTER TABLE benchmark DROP COLUMN origin;
ALTER TABLE host DROP COLUMN imported;
