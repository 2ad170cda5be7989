-- From verdicts to regressions: change points that stay, confirmations on both sides, groups with one cause and their life.

-- ── Regressions ─────────────────────────────────────────────────────────────────────────────────
-- A group of change points with one cause. Its commits lie in (before, after] of the branch.
CREATE TABLE regression (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    branch_id       bigint NOT NULL REFERENCES branch,
    better          boolean NOT NULL,              -- true: an improvement
    state           text NOT NULL CHECK (state IN ('suspected', 'confirmed', 'bisecting', 'found', 'acknowledged', 'fixed',
                                                   'accepted', 'invalid')),
    before_commit_id bigint NOT NULL REFERENCES commit,  -- the last that is known to be as before
    after_commit_id bigint NOT NULL REFERENCES commit,   -- the first that is known to be changed
    culprit_commit_id bigint REFERENCES commit,
    owner           text,
    invalid_reason  text CHECK (invalid_reason IN ('not_confirmed', 'noise', 'infrastructure', 'withdrawn', 'merged')),
    fixed_commit_id bigint REFERENCES commit,      -- from which on its series are as before again
    merged_into     bigint REFERENCES regression,
    sibling_of      bigint REFERENCES regression,  -- the same change on another branch
    created_at      timestamptz NOT NULL DEFAULT now(),
    changed_at      timestamptz NOT NULL DEFAULT now(),
    CHECK (state <> 'found' OR culprit_commit_id IS NOT NULL),
    CHECK ((state = 'invalid') = (invalid_reason IS NOT NULL)),
    CHECK ((invalid_reason IS NOT DISTINCT FROM 'merged') = (merged_into IS NOT NULL)),
    CHECK ((state = 'fixed') = (fixed_commit_id IS NOT NULL)),
    CHECK (merged_into IS DISTINCT FROM id AND sibling_of IS DISTINCT FROM id)
);
CREATE INDEX regression_branch ON regression (branch_id, id);
CREATE INDEX regression_state ON regression (state, id DESC);

-- Its timeline. Written in the transaction that changes the state: what people are told follows from these rows.
CREATE TABLE regression_event (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    regression_id   bigint NOT NULL REFERENCES regression ON DELETE CASCADE,
    at              timestamptz NOT NULL DEFAULT now(),
    actor           text NOT NULL,                 -- 'speedwell', or the name of a token
    kind            text NOT NULL,                 -- domain::regression::EventKind
    message         text NOT NULL,
    told_at         timestamptz                    -- when the notify tick looked at it; NULL: not yet
);
CREATE INDEX regression_event_regression ON regression_event (regression_id, id);
CREATE INDEX regression_event_untold ON regression_event (id) WHERE told_at IS NULL;

-- ── Change points ───────────────────────────────────────────────────────────────────────────────
-- Where a series steps. Verdicts are made anew whenever the series is read; these rows stay, for people refer to them.
CREATE TABLE change_point (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_id       bigint NOT NULL REFERENCES series,
    regression_id   bigint REFERENCES regression,  -- NULL: not looked at by the group tick yet
    before_commit_id bigint NOT NULL REFERENCES commit,  -- last point that is as before, with 95 % confidence
    commit_id       bigint NOT NULL REFERENCES commit,   -- the likeliest first point of the new level
    after_commit_id bigint NOT NULL REFERENCES commit,   -- last point that may be its first, with 95 % confidence
    better          boolean NOT NULL,
    baseline        double precision NOT NULL,     -- level before, in the metric's unit
    value           double precision NOT NULL,     -- level after
    change          double precision NOT NULL,     -- value / baseline - 1
    change_low      double precision NOT NULL,     -- 95 % interval
    change_high     double precision NOT NULL,
    noise           double precision NOT NULL,     -- deviation of one point about its level, of logarithms
    chance          double precision NOT NULL,     -- probability that noise alone looks so, all places considered
    placed          double precision NOT NULL,     -- probability that it lies within three points of commit_id
    points_after    integer NOT NULL,              -- points of the new level; 1: an extreme point alone
    state           text NOT NULL CHECK (state IN ('suspected', 'confirmed', 'refuted', 'withdrawn')),
    detector        text NOT NULL,                 -- version and parameters
    created_at      timestamptz NOT NULL DEFAULT now(),
    changed_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (series_id, commit_id)
);
CREATE INDEX change_point_regression ON change_point (regression_id);
CREATE INDEX change_point_commit ON change_point (commit_id);
CREATE INDEX change_point_suspected ON change_point (id) WHERE state = 'suspected';

-- ── Confirmations ───────────────────────────────────────────────────────────────────────────────
-- Both sides measured again on one host, in the order A B B A …, only the benchmarks concerned, until a sequential test decides.
CREATE TABLE confirmation (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    regression_id   bigint NOT NULL REFERENCES regression,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    host_id         bigint NOT NULL REFERENCES host,
    before_commit_id bigint NOT NULL REFERENCES commit,
    after_commit_id bigint NOT NULL REFERENCES commit,
    benchmarks      text[] NOT NULL,
    state           text NOT NULL CHECK (state IN ('measuring', 'confirmed', 'refuted', 'undecided', 'abandoned')),
    rounds          integer NOT NULL DEFAULT 0,    -- pairs that have been queued
    message         text NOT NULL DEFAULT '',      -- what the test found, in words
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK ((state = 'measuring') = (finished_at IS NULL))
);
CREATE UNIQUE INDEX confirmation_open ON confirmation (regression_id, runtime_id, host_id) WHERE state = 'measuring';
CREATE INDEX confirmation_regression ON confirmation (regression_id);

ALTER TABLE job
    ADD COLUMN confirmation_id bigint REFERENCES confirmation,
    ADD COLUMN confirmation_round integer CHECK ((confirmation_round IS NULL) = (confirmation_id IS NULL));
CREATE INDEX job_confirmation ON job (confirmation_id, confirmation_round) WHERE confirmation_id IS NOT NULL;

ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check
    CHECK (reason IN ('newest', 'gap', 'release', 'requested', 'control', 'repetition', 'confirmation', 'bisection'));
DROP INDEX job_open_work;
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason NOT IN ('requested', 'repetition', 'confirmation', 'bisection');

ALTER TABLE verdict DROP CONSTRAINT verdict_held_check;
ALTER TABLE verdict ADD CONSTRAINT verdict_held_check
    CHECK (held IN ('repetition_pending', 'control_pending', 'control_unsteady', 'control_moved', 'unconfirmed', 'refuted'));
-- The detector is another: everything is judged again.
UPDATE series SET detected_at = NULL;
