-- The spine: repositories and commits, runtimes, hosts, suites, jobs, builds, runs, measurements, verdicts.
-- Names are the glossary's. Times are UTC. Text enums carry a CHECK; the Rust enums round-trip in a test.

-- ── Repositories, commits, branches ─────────────────────────────────────────────────────────────
CREATE TABLE repository (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    url             text NOT NULL,
    commit_url      text,                          -- link template with {commit}, for pages
    exclude         text[] NOT NULL DEFAULT '{}',  -- paths that a checkout leaves out
    last_fetch_at   timestamptz,
    last_fetch_error text,                         -- shown on the queue page until a fetch succeeds
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE commit (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    hash            text NOT NULL CHECK (hash ~ '^[0-9a-f]{40}([0-9a-f]{24})?$'),
    parents         text[] NOT NULL,
    author_name     text NOT NULL,
    author_email    text NOT NULL,
    authored_at     timestamptz NOT NULL,
    committed_at    timestamptz NOT NULL,
    subject         text NOT NULL,
    touched_paths   text[],                        -- NULL until the paths tick has read them
    touched_count   integer,                       -- all of them, also when the list was cut
    UNIQUE (repository_id, hash)
);
CREATE INDEX commit_without_paths ON commit (repository_id, id DESC) WHERE touched_paths IS NULL;

CREATE TABLE branch (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    name            text NOT NULL,
    head_commit_id  bigint REFERENCES commit,
    rewritten_at    timestamptz,                   -- the newest force push, for pages
    rewritten_count integer NOT NULL DEFAULT 0,    -- positions that it replaced
    UNIQUE (repository_id, name)
);

-- Positions are dense from 0 at the root. A force push deletes the tail and writes it again.
CREATE TABLE branch_commit (
    branch_id       bigint NOT NULL REFERENCES branch,
    position        integer NOT NULL CHECK (position >= 0),
    commit_id       bigint NOT NULL REFERENCES commit,
    PRIMARY KEY (branch_id, position),
    UNIQUE (branch_id, commit_id)
);
CREATE INDEX branch_commit_commit ON branch_commit (commit_id);

CREATE TABLE tag (
    repository_id   bigint NOT NULL REFERENCES repository,
    name            text NOT NULL,
    commit_hash     text NOT NULL,
    PRIMARY KEY (repository_id, name)
);
CREATE INDEX tag_commit ON tag (repository_id, commit_hash);

-- ── Suites and benchmarks ───────────────────────────────────────────────────────────────────────
CREATE TABLE suite (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL,
    version         integer NOT NULL CHECK (version > 0),
    sha256          text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version)
);

-- A benchmark is known by what it is (name, script, inputs, arguments), never by its name alone.
CREATE TABLE benchmark (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL,
    description     text NOT NULL,
    script_sha256   text NOT NULL,
    inputs_sha256   text NOT NULL,
    arguments       text[] NOT NULL,
    identity        text NOT NULL UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX benchmark_name ON benchmark (name);

CREATE TABLE suite_benchmark (
    suite_id        bigint NOT NULL REFERENCES suite,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    ordinal         integer NOT NULL,
    PRIMARY KEY (suite_id, benchmark_id)
);

-- ── Runtimes ────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE runtime (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    language        text NOT NULL CHECK (language IN ('python2', 'python3')),
    branch_id       bigint NOT NULL REFERENCES branch,
    recipe          jsonb NOT NULL,                -- wire::BuildRecipe
    recipe_sha256   text NOT NULL,
    suite_name      text NOT NULL,                 -- the newest version that a worker has registered is run
    enabled         boolean NOT NULL DEFAULT true, -- false: gone from the configuration, history stays
    ordinal         integer NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- ── Hosts and environments ──────────────────────────────────────────────────────────────────────
CREATE TABLE host (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    class           text NOT NULL,
    token_sha256    text NOT NULL UNIQUE,
    worker_version  text,
    environment_id  bigint,
    last_seen_at    timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE environment (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host_id         bigint NOT NULL REFERENCES host,
    fingerprint     text NOT NULL,
    facts           jsonb NOT NULL,                -- wire::EnvironmentFacts
    first_seen_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (host_id, fingerprint)
);
ALTER TABLE host ADD FOREIGN KEY (environment_id) REFERENCES environment;

-- ── Artefacts ───────────────────────────────────────────────────────────────────────────────────
CREATE TABLE artefact (
    sha256          text PRIMARY KEY,
    bytes           bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('build', 'run', 'log')),
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- ── Jobs ────────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE job (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('measure', 'build')),
    runtime_id      bigint NOT NULL REFERENCES runtime,
    commit_id       bigint NOT NULL REFERENCES commit,
    host_class      text NOT NULL,                 -- any host of this class may take it …
    host_id         bigint REFERENCES host,        -- … or only this one
    priority        integer NOT NULL,
    reason          text NOT NULL CHECK (reason IN ('newest', 'gap', 'requested')),
    requester       text NOT NULL,                 -- 'scheduler', or who asked
    benchmarks      text[] NOT NULL DEFAULT '{}',
    not_before      timestamptz NOT NULL DEFAULT now(),
    attempt         integer NOT NULL DEFAULT 0,    -- tries begun
    max_attempts    integer NOT NULL DEFAULT 3,
    state           text NOT NULL DEFAULT 'queued'
                    CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    lease_id        uuid,                          -- the newest lease; fences every write
    lease_until     timestamptz,
    running_on      bigint REFERENCES host,        -- the newest holder
    cancel_requested boolean NOT NULL DEFAULT false,
    phase           text,
    percent         real,
    progress        text,
    failure_kind    text CHECK (failure_kind IN ('transient', 'permanent', 'cancelled')),
    failure_phase   text,
    failure_message text,
    failure_log     text,
    log_artefact    text REFERENCES artefact,      -- the whole log, compressed, once the job is over
    created_at      timestamptz NOT NULL DEFAULT now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    CHECK (state <> 'running' OR (lease_id IS NOT NULL AND lease_until IS NOT NULL AND running_on IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
-- One running job per host: the index holds even if a claim forgets the host's row lock.
CREATE UNIQUE INDEX job_one_running_per_host ON job (running_on) WHERE state = 'running';
-- The same work is queued once.
CREATE UNIQUE INDEX job_open_work ON job (kind, runtime_id, commit_id, host_class, coalesce(host_id, 0))
    WHERE state IN ('queued', 'running') AND reason <> 'requested';
CREATE INDEX job_claim ON job (host_class, priority DESC, id) WHERE state = 'queued';
CREATE INDEX job_lease ON job (lease_until) WHERE state = 'running';
CREATE INDEX job_commit ON job (runtime_id, commit_id);
CREATE INDEX job_finished ON job (finished_at DESC) WHERE finished_at IS NOT NULL;

-- A job's log while it runs: bytes from start_offset of one attempt. Compressed into an artefact and deleted afterwards.
CREATE TABLE job_log (
    job_id          bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    lease_id        uuid NOT NULL,
    start_offset    bigint NOT NULL CHECK (start_offset >= 0),
    chunk           bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, lease_id, start_offset)
);

-- What happened to a job, for its page: claimed, lease expired, released, failed and queued again …
CREATE TABLE job_event (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id          bigint NOT NULL REFERENCES job ON DELETE CASCADE,
    at              timestamptz NOT NULL DEFAULT now(),
    host_id         bigint REFERENCES host,
    message         text NOT NULL
);
CREATE INDEX job_event_job ON job_event (job_id, id);

-- ── Builds ──────────────────────────────────────────────────────────────────────────────────────
CREATE TABLE build (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    commit_id       bigint NOT NULL REFERENCES commit,
    recipe_sha256   text NOT NULL,
    toolchain       text NOT NULL,
    job_id          bigint NOT NULL REFERENCES job,
    host_id         bigint NOT NULL REFERENCES host,
    artefact_sha256 text REFERENCES artefact,      -- NULL: the build failed
    installed_bytes bigint NOT NULL,
    step_seconds    jsonb NOT NULL,
    ccache_hits     bigint NOT NULL,
    ccache_misses   bigint NOT NULL,
    version         text NOT NULL,
    failure         text,
    log_tail        text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK ((artefact_sha256 IS NULL) = (failure IS NOT NULL))
);
-- One good build per identity; failed ones may repeat (a transient cause, then a real one).
CREATE UNIQUE INDEX build_identity ON build (runtime_id, commit_id, recipe_sha256, toolchain)
    WHERE artefact_sha256 IS NOT NULL;
CREATE INDEX build_commit ON build (commit_id, runtime_id);

-- ── Runs and measurements ───────────────────────────────────────────────────────────────────────
CREATE TABLE run (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    upload_id       uuid NOT NULL UNIQUE,          -- repeating an upload finds this row and changes nothing
    job_id          bigint NOT NULL REFERENCES job,
    build_id        bigint NOT NULL REFERENCES build,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    commit_id       bigint NOT NULL REFERENCES commit,
    suite_id        bigint NOT NULL REFERENCES suite,
    host_id         bigint NOT NULL REFERENCES host,
    environment_id  bigint NOT NULL REFERENCES environment,
    harness_sha256  text NOT NULL,
    interpreter     text NOT NULL,
    host_notes      jsonb NOT NULL,
    raw_artefact    text NOT NULL REFERENCES artefact,
    started_at      timestamptz NOT NULL,
    finished_at     timestamptz NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX run_commit ON run (commit_id, runtime_id);
CREATE INDEX run_runtime ON run (runtime_id, id DESC);
CREATE INDEX run_job ON run (job_id);

-- The measurements of one (runtime, benchmark version, metric, counter source, host) in branch order.
CREATE TABLE series (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    metric          text NOT NULL,
    counter_source  text NOT NULL CHECK (counter_source IN ('pmu', 'pmu-emulated', 'valgrind', 'software')),
    host_id         bigint NOT NULL REFERENCES host,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    detected_at     timestamptz,                   -- NULL or older than changed_at: the detect tick has work
    detector        text,                          -- version that made the verdicts
    UNIQUE (runtime_id, benchmark_id, metric, counter_source, host_id)
);
CREATE INDEX series_to_detect ON series (changed_at) WHERE detected_at IS NULL OR detected_at < changed_at;

-- Partitioned by the time of measuring: old years can be moved or dropped whole. The maintain tick makes the partitions.
-- `position` repeats the branch position so that a chart is one range scan of one index; a force push sets it to NULL
-- for commits that left the branch (the measurement itself stays).
CREATE TABLE measurement (
    id              bigint GENERATED ALWAYS AS IDENTITY,
    measured_at     timestamptz NOT NULL,
    series_id       bigint NOT NULL REFERENCES series,
    run_id          bigint NOT NULL REFERENCES run,
    commit_id       bigint NOT NULL REFERENCES commit,
    environment_id  bigint NOT NULL REFERENCES environment,
    position        integer,
    sample_count    integer NOT NULL CHECK (sample_count > 0),
    median          double precision NOT NULL,
    mean            double precision NOT NULL,
    mad             double precision NOT NULL,     -- median absolute deviation, unscaled
    min             double precision NOT NULL,
    max             double precision NOT NULL,
    interval_low    double precision NOT NULL,     -- 95 % interval of the median
    interval_high   double precision NOT NULL,
    sample_values   double precision[] NOT NULL,   -- every sample in the order taken, warm-ups included
    sample_process  smallint[] NOT NULL,           -- its process
    sample_warmup   boolean[] NOT NULL,            -- true: a warm-up, not in the summary
    PRIMARY KEY (id, measured_at)
) PARTITION BY RANGE (measured_at);
CREATE TABLE measurement_other PARTITION OF measurement DEFAULT;
CREATE INDEX measurement_series ON measurement (series_id, position, id);
CREATE INDEX measurement_run ON measurement (run_id);
CREATE INDEX measurement_commit ON measurement (commit_id);

-- Makes the partition that holds `moment` (one per year) unless it is there. Called by the maintain tick, ahead of time.
CREATE FUNCTION ensure_measurement_partition(moment timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    year integer := extract(year FROM moment AT TIME ZONE 'UTC');
    name text := format('measurement_%s', year);
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF measurement FOR VALUES FROM (%L) TO (%L)',
                       name, format('%s-01-01 00:00:00+00', year), format('%s-01-01 00:00:00+00', year + 1));
    END IF;
    RETURN name;
END $$;
SELECT ensure_measurement_partition(now());

-- Missing values: unavailable, never zero. metric NULL: the whole benchmark.
CREATE TABLE unavailable (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          bigint NOT NULL REFERENCES run,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    metric          text,
    kind            text NOT NULL
                    CHECK (kind IN ('unsupported', 'crashed', 'timed_out', 'invalid', 'not_applicable')),
    reason          text NOT NULL
);
CREATE INDEX unavailable_run ON unavailable (run_id);

-- ── Verdicts ────────────────────────────────────────────────────────────────────────────────────
-- One per point of a series (a point is a commit; several runs of it are one point). Derived: `redetect` makes them again.
CREATE TABLE verdict (
    series_id       bigint NOT NULL REFERENCES series,
    commit_id       bigint NOT NULL REFERENCES commit,
    position        integer NOT NULL,
    detector        text NOT NULL,
    state           text NOT NULL CHECK (state IN ('too_few', 'unchanged', 'improved', 'regressed')),
    baseline        double precision,              -- median of the predecessors in the metric's unit
    value           double precision NOT NULL,
    change          double precision,              -- value / baseline - 1
    change_low      double precision,              -- interval of the change
    change_high     double precision,
    threshold       double precision,              -- the noise: |change| beyond it is a change
    predecessors    integer NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (series_id, commit_id)
);
CREATE INDEX verdict_commit ON verdict (commit_id);
CREATE INDEX verdict_changes ON verdict (created_at DESC) WHERE state IN ('improved', 'regressed');
