-- The index: each whole run of a runtime against the newest release before it, as one number. Derived by the index tick
-- (scheduler/index.rs), made again when anything that it was made from has changed. Thin rows: charts of years read them.
CREATE TABLE index_point (
    run_id          bigint PRIMARY KEY REFERENCES run,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    host_id         bigint NOT NULL REFERENCES host,
    environment_id  bigint NOT NULL REFERENCES environment,
    commit_id       bigint NOT NULL REFERENCES commit,
    position        integer,                       -- NULL: its commit has left the branch
    epoch_begins_at timestamptz,                   -- of the host's epoch that it was measured in; NULL: before the first move
    committed_at    timestamptz NOT NULL,
    measured_at     timestamptz NOT NULL,
    tag             text,                          -- the release that its commit is
    weekly          boolean NOT NULL DEFAULT false, -- a release, or the last measured commit of its week: what a long chart shows
    version         text NOT NULL DEFAULT '',      -- of the rules that it was compared with; '' : not compared yet
    reference_run_id bigint REFERENCES run,        -- NULL: nothing before it in its environment and epoch
    reference_tag   text,                          -- NULL: the reference is no release but the oldest measured commit
    mean            double precision,              -- mean over the common benchmarks of ln(time / reference's time)
    deviation       double precision,              -- standard error of it, by the runs' own samples
    common          integer NOT NULL DEFAULT 0,    -- benchmarks that both have
    only_here       bigint[] NOT NULL DEFAULT '{}', -- left out: the reference has no value
    only_reference  bigint[] NOT NULL DEFAULT '{}', -- left out: this run has none
    CHECK ((mean IS NULL) = (deviation IS NULL)),
    CHECK ((mean IS NULL) = (common = 0)),
    CHECK (mean IS NULL OR reference_run_id IS NOT NULL)
);
CREATE INDEX index_point_newest ON index_point (runtime_id, position DESC, run_id DESC) WHERE position IS NOT NULL;
CREATE INDEX index_point_line ON index_point (runtime_id, host_id, position DESC, run_id DESC) WHERE position IS NOT NULL;
CREATE INDEX index_point_weekly ON index_point (runtime_id, host_id, position DESC) WHERE weekly;
CREATE INDEX index_point_release ON index_point (runtime_id, host_id, tag) WHERE tag IS NOT NULL;

-- The main values of a run, packed: what any two runs are compared by without reading their measurements again.
CREATE TABLE index_values (
    run_id          bigint PRIMARY KEY REFERENCES index_point ON DELETE CASCADE,
    benchmark_ids   bigint[] NOT NULL,             -- ascending
    logarithms      double precision[] NOT NULL,   -- of the time in seconds; servers: of the time of one request
    deviations      double precision[] NOT NULL,   -- standard errors of these, by their medians' intervals
    counter_source  text CHECK (counter_source IN ('pmu', 'pmu-emulated', 'valgrind', 'software')),  -- of the next two
    ipc             double precision[] NOT NULL,   -- instructions per cycle; NULL elements: not counted
    frontend_bound  double precision[] NOT NULL,   -- share of the pipeline's slots lost in the front end
    CHECK (cardinality(benchmark_ids) = cardinality(logarithms) AND cardinality(benchmark_ids) = cardinality(deviations)
           AND cardinality(benchmark_ids) = cardinality(ipc) AND cardinality(benchmark_ids) = cardinality(frontend_bound))
);

-- What the points of a runtime on a host were made from; another signature is work for the tick.
CREATE TABLE index_state (
    runtime_id      bigint NOT NULL REFERENCES runtime,
    host_id         bigint NOT NULL REFERENCES host,
    signature       text NOT NULL,
    commits         integer NOT NULL,              -- of the branch that have been measured whole
    made_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (runtime_id, host_id)
);

-- The home page asks what was seen this week.
CREATE INDEX regression_created ON regression (created_at DESC);
