-- Results that others measured: their hosts, where they came from, and builds of which nothing is stored here.

-- No worker of ours runs there: nothing is queued for it, confirmed or searched on it.
ALTER TABLE host ADD COLUMN imported boolean NOT NULL DEFAULT false;

-- Its results come from elsewhere alone: nothing waits to be measured.
ALTER TABLE runtime ADD COLUMN imported boolean NOT NULL DEFAULT false;

-- What the benchmark's definition came with, like 'pyperformance 1.14.0': its code is not known here. NULL: one of our suites.
ALTER TABLE benchmark ADD COLUMN origin text;

CREATE TABLE import (
    run_id          bigint PRIMARY KEY REFERENCES run ON DELETE CASCADE,
    format          text NOT NULL CHECK (format IN ('pyperf', 'codespeed', 'lnt', 'bencher')),
    origin          text NOT NULL,                 -- the program that measured, with its version
    file_name       text NOT NULL,                 -- of the file, or the names that the sender gave
    importer        text NOT NULL,                 -- name of the token, or of the operator's command
    content_sha256  text NOT NULL,                 -- of the raw file before compression
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- An imported build has neither an artefact nor a failure.
ALTER TABLE build DROP CONSTRAINT build_check;
ALTER TABLE build ADD CONSTRAINT build_outcome_check
    CHECK (CASE WHEN recipe_sha256 = 'imported' THEN artefact_sha256 IS NULL AND failure IS NULL
                ELSE (artefact_sha256 IS NULL) = (failure IS NOT NULL) END);
CREATE UNIQUE INDEX build_imported ON build (runtime_id, commit_id, toolchain) WHERE recipe_sha256 = 'imported';
