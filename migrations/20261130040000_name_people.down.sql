DROP TABLE audit;
DROP TABLE session;
DELETE FROM token WHERE kind <> 'person';
ALTER TABLE token
    DROP CONSTRAINT token_importer_reads,
    DROP CONSTRAINT token_owner_check,
    DROP COLUMN kind, DROP COLUMN owner, DROP COLUMN runtimes, DROP COLUMN hosts, DROP COLUMN expires_at,
    DROP CONSTRAINT token_role_check;
UPDATE token SET role = CASE role WHEN 'viewer' THEN 'reader' WHEN 'admin' THEN 'operator' ELSE role END;
ALTER TABLE token ADD CONSTRAINT token_role_check CHECK (role IN ('reader', 'triager', 'operator'));
