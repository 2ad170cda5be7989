-- Texts that workers send once, by their hash: definitions of suites, scripts and what they read, the harness.
ALTER TABLE artefact DROP CONSTRAINT artefact_kind_check;
ALTER TABLE artefact ADD CONSTRAINT artefact_kind_check CHECK (kind IN ('build', 'run', 'log', 'profile', 'source'));
