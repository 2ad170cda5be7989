-- Check runs of a GitHub App: the forge's keys of those that were written, to be edited in place.
CREATE TABLE check_run (
    repository_id   bigint NOT NULL REFERENCES repository,
    key             bigint NOT NULL,               -- the forge's
    hash            text NOT NULL,                 -- the commit that it is about
    try_id          bigint REFERENCES try_run ON DELETE CASCADE,
    regression_id   bigint REFERENCES regression ON DELETE CASCADE,
    PRIMARY KEY (repository_id, key),
    CHECK (num_nonnulls(try_id, regression_id) = 1)
);
-- One for each try, and for each culprit of a regression.
CREATE UNIQUE INDEX check_run_try ON check_run (try_id, hash) WHERE try_id IS NOT NULL;
CREATE UNIQUE INDEX check_run_regression ON check_run (regression_id, hash) WHERE regression_id IS NOT NULL;
