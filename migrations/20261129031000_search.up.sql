-- What the search looks commits up by: words of subject and author, and the beginning of the hash. Whatever is no letter or digit
-- parts words, so that `gh-12345` and `os.path` are found by their parts.
CREATE INDEX commit_words ON commit USING gin (
    to_tsvector('simple', regexp_replace(subject || ' ' || author_name || ' ' || author_email, '[^[:alnum:]]+', ' ', 'g')));
CREATE INDEX commit_hash_beginning ON commit (hash text_pattern_ops);
-- The newest of very many hits are found without sorting them.
CREATE INDEX commit_newest ON commit (committed_at DESC, id DESC);
-- What a benchmark's page asks for.
CREATE INDEX unavailable_benchmark ON unavailable (benchmark_id, run_id DESC);
