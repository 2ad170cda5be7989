-- Try runs: a branch, a range, a pull request or a patch measured against its base, A B B A, on one host.

-- ── Patches ─────────────────────────────────────────────────────────────────────────────────────
-- Somebody's changes to a commit, as `git diff` writes them.
CREATE TABLE patch (
    sha256          text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    content         text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
-- Not NULL: no commit of the repository, but this patch on top of the one parent. Its hash is made of both, so that builds, runs and
-- comparisons of it are its own and never those of the plain commit.
ALTER TABLE commit ADD COLUMN patch_sha256 text REFERENCES patch,
    ADD CONSTRAINT commit_patch_has_base CHECK (patch_sha256 IS NULL OR cardinality(parents) = 1);

-- ── Try runs ────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE try_run (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    requester       text NOT NULL,
    origin          text UNIQUE,                   -- what asked, for example a comment's address: it asks once
    source          text NOT NULL CHECK (source IN ('revision', 'pull', 'patch')),
    head_name       text,                          -- revision: a branch, tag or commit as it was named
    base_name       text,                          -- a branch, tag or commit; NULL: where the head left the base branch
    base_branch     text,                          -- NULL: of the runtimes' branches, the one that the head left last
    pull_number     integer CHECK (pull_number > 0),
    expected_head   text,                          -- of a fork's pull request: its head as known when it was asked for; another needs approval
    patch_sha256    text REFERENCES patch,
    runtimes        text[] NOT NULL,               -- names; empty: all that measure the base branch
    suite_name      text,                          -- NULL: each runtime's own
    benchmarks      text NOT NULL DEFAULT '*',     -- a glob of names
    host_id         bigint REFERENCES host,        -- NULL: chosen when it begins
    budget          integer NOT NULL CHECK (budget BETWEEN 1 AND 50),  -- rounds at most; a round measures both sides once
    state           text NOT NULL
                    CHECK (state IN ('waiting_for_approval', 'queued', 'running', 'decided', 'cancelled', 'failed')),
    head_commit_id  bigint REFERENCES commit,      -- NULL: not looked up yet
    base_commit_id  bigint REFERENCES commit,
    diff            text,                          -- what the head changes, for whom has to approve; cut when long
    diff_cut        boolean NOT NULL DEFAULT false,
    approved_by     text,                          -- who answers for running it: a triager, or the rule that trusts the requester
    approved_at     timestamptz,
    verdict         text CHECK (verdict IN ('worse', 'better', 'mixed', 'unchanged', 'unclear')),
    message         text NOT NULL DEFAULT '',      -- how it stands, in words
    created_at      timestamptz NOT NULL DEFAULT now(),
    changed_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    looked_at       timestamptz,                   -- when its commits were last looked for, in vain
    looks           integer NOT NULL DEFAULT 0,
    comment_id      bigint,                        -- the forge's key of the answer, to be edited
    answered_at     timestamptz,                   -- changed_at of what the newest answer on the forge says
    CHECK ((source = 'revision') = (head_name IS NOT NULL)),
    CHECK ((source = 'pull') = (pull_number IS NOT NULL)),
    CHECK ((source = 'patch') = (patch_sha256 IS NOT NULL)),
    CHECK ((head_commit_id IS NULL) = (base_commit_id IS NULL)),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL)),
    -- Nothing of a stranger's runs before somebody has approved it.
    CHECK (state NOT IN ('queued', 'running', 'decided') OR approved_by IS NOT NULL),
    CHECK ((state IN ('decided', 'cancelled', 'failed')) = (finished_at IS NOT NULL)),
    CHECK ((state = 'decided') = (verdict IS NOT NULL)),
    CHECK (state NOT IN ('running', 'decided') OR head_commit_id IS NOT NULL)
);
CREATE INDEX try_run_state ON try_run (state, id DESC);
-- One at a time for each pull request.
CREATE UNIQUE INDEX try_run_open_pull ON try_run (repository_id, pull_number)
    WHERE pull_number IS NOT NULL AND finished_at IS NULL;

-- One runtime of a try, on one host.
CREATE TABLE try_part (
    try_id          bigint NOT NULL REFERENCES try_run ON DELETE CASCADE,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    host_id         bigint NOT NULL REFERENCES host,
    benchmarks      text[] NOT NULL,               -- empty: the whole suite
    rounds          integer NOT NULL DEFAULT 0,    -- queued so far
    state           text NOT NULL DEFAULT 'measuring' CHECK (state IN ('measuring', 'decided', 'failed')),
    message         text NOT NULL DEFAULT '',
    PRIMARY KEY (try_id, runtime_id)
);

-- What the rounds say so far, one row for each series; made again after each round.
CREATE TABLE try_result (
    try_id          bigint NOT NULL,
    runtime_id      bigint NOT NULL,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    metric          text NOT NULL,
    counter_source  text NOT NULL,
    pairs           integer NOT NULL CHECK (pairs > 0),
    base            double precision NOT NULL,     -- geometric mean of its runs' medians, in the metric's unit
    head            double precision NOT NULL,
    change          double precision NOT NULL,     -- head / base - 1
    change_low      double precision NOT NULL,     -- 95 % interval
    change_high     double precision NOT NULL,
    verdict         text NOT NULL CHECK (verdict IN ('worse', 'better', 'unchanged', 'unclear')),
    PRIMARY KEY (try_id, runtime_id, benchmark_id, metric, counter_source),
    FOREIGN KEY (try_id, runtime_id) REFERENCES try_part ON DELETE CASCADE
);

-- ── Jobs ────────────────────────────────────────────────────────────────────────────────────────
ALTER TABLE job
    ADD COLUMN try_id bigint REFERENCES try_run,
    ADD COLUMN try_round integer CHECK ((try_round IS NULL) = (try_id IS NULL)),
    ADD COLUMN suite_name text;                    -- NULL: the runtime's own
CREATE INDEX job_try ON job (try_id, try_round) WHERE try_id IS NOT NULL;
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check CHECK (reason IN
    ('newest', 'gap', 'release', 'requested', 'control', 'repetition', 'confirmation', 'bisection', 'try'));
DROP INDEX job_open_work;
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason NOT IN ('requested', 'repetition', 'confirmation', 'bisection', 'try');

-- Whether the host's worker can apply a patch to a commit. A worker that does not know patches would measure the plain commit.
ALTER TABLE host ADD COLUMN applies_patches boolean NOT NULL DEFAULT false;
