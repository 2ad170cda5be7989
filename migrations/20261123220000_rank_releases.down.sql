ALTER TABLE tag DROP COLUMN release_final;
ALTER TABLE tag DROP COLUMN release_line;
