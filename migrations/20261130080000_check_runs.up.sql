-- Check runs of a GitHub App: the forge's keys of those that were written, to be edited in place until they are over.
CREATE TABLE check_run (
    repository_id   bigint NOT NULL REFERENCES repository,
    key             bigint NOT NULL,               -- the forge's
    hash            text NOT NULL,                 -- the commit that it is about
    try_id          bigint REFERENCES try_run ON DELETE CASCADE,
    regression_id   bigint REFERENCES regression ON DELETE CASCADE,
    PRIMARY KEY (repository_id, key),
    ended           text,                          -- the conclusion that it has; NULL: not over
    CHECK (num_nonnulls(try_id, regression_id) = 1)
);
CREATE INDEX check_run_try ON check_run (try_id) WHERE try_id IS NOT NULL;
CREATE INDEX check_run_regression ON check_run (regression_id) WHERE regression_id IS NOT NULL;
CREATE INDEX check_run_hash ON check_run (repository_id, hash);
