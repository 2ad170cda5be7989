DELETE FROM artefact WHERE kind = 'source';
ALTER TABLE artefact DROP CONSTRAINT artefact_kind_check;
ALTER TABLE artefact ADD CONSTRAINT artefact_kind_check CHECK (kind IN ('build', 'run', 'log', 'profile'));
