DROP INDEX unavailable_benchmark;
DROP INDEX commit_newest;
DROP INDEX commit_hash_beginning;
DROP INDEX commit_words;
