-- The search for the commit behind a change. Its evidence is in `measurement`: whatever was measured on a commit of the range counts.

CREATE TABLE bisection (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    regression_id   bigint REFERENCES regression,  -- NULL: asked for by hand
    runtime_id      bigint NOT NULL REFERENCES runtime,
    benchmark       text NOT NULL,                 -- by name: the newest version of it is measured
    metric          text NOT NULL,
    counter_source  text NOT NULL CHECK (counter_source IN ('pmu', 'pmu-emulated', 'valgrind', 'software')),
    before_commit_id bigint NOT NULL REFERENCES commit,
    after_commit_id bigint NOT NULL REFERENCES commit,
    expected        double precision,              -- logarithm of after / before; NULL: not known before the ends are measured
    noise           double precision NOT NULL CHECK (noise >= 0),  -- deviation of one run, of logarithms
    requester       text NOT NULL,
    state           text NOT NULL CHECK (state IN ('searching', 'found', 'several', 'exhausted', 'cancelled')),
    culprit_commit_id bigint REFERENCES commit,    -- of the largest change; NULL while not known, or when only a stretch is
    budget          integer NOT NULL CHECK (budget > 0),  -- runs that may be asked for
    message         text NOT NULL DEFAULT '',      -- how it stands, in words
    version         text NOT NULL,                 -- of the rules in detection/bisection.rs
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK (before_commit_id <> after_commit_id),
    CHECK ((state = 'searching') = (finished_at IS NULL)),
    CHECK (culprit_commit_id IS NULL OR state IN ('found', 'several'))
);
CREATE UNIQUE INDEX bisection_open ON bisection (regression_id) WHERE state = 'searching';
CREATE INDEX bisection_regression ON bisection (regression_id) WHERE regression_id IS NOT NULL;
CREATE INDEX bisection_searching ON bisection (id) WHERE state = 'searching';

-- The hosts that measure for it; each is compared with its own ends.
CREATE TABLE bisection_host (
    bisection_id    bigint NOT NULL REFERENCES bisection ON DELETE CASCADE,
    host_id         bigint NOT NULL REFERENCES host,
    PRIMARY KEY (bisection_id, host_id)
);

-- The commits of the range with both ends, in branch order from 0 (the end before) on.
CREATE TABLE bisection_commit (
    bisection_id    bigint NOT NULL REFERENCES bisection ON DELETE CASCADE,
    ordinal         integer NOT NULL CHECK (ordinal >= 0),
    commit_id       bigint NOT NULL REFERENCES commit,
    skipped         text CHECK (skipped IN ('cannot_matter', 'does_not_build', 'not_measurable', 'job_cancelled')),
    probability     double precision NOT NULL DEFAULT 0,  -- that the change came with it
    likeness        double precision,              -- 0: measured as before … 1: as after; NULL: not measured
    PRIMARY KEY (bisection_id, ordinal),
    UNIQUE (bisection_id, commit_id)
);

-- Each change that the search has located: it came with a commit of (before, after], or with `culprit` when that is known.
CREATE TABLE bisection_change (
    bisection_id    bigint NOT NULL REFERENCES bisection ON DELETE CASCADE,
    ordinal         integer NOT NULL,
    before_commit_id bigint NOT NULL REFERENCES commit,
    after_commit_id bigint NOT NULL REFERENCES commit,
    culprit_commit_id bigint REFERENCES commit,
    change          double precision NOT NULL,     -- ratio minus one
    probability     double precision NOT NULL,
    PRIMARY KEY (bisection_id, ordinal)
);

ALTER TABLE job ADD COLUMN bisection_id bigint REFERENCES bisection;
CREATE INDEX job_bisection ON job (bisection_id) WHERE bisection_id IS NOT NULL;
