DROP INDEX commit_words;
ALTER TABLE commit DROP COLUMN words;
CREATE INDEX commit_words ON commit USING gin (
    to_tsvector('simple', regexp_replace(subject || ' ' || author_name || ' ' || author_email, '[^[:alnum:]]+', ' ', 'g')));
