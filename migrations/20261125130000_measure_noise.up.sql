-- How far a host's values spread by themselves, and runtimes that stay as they are, by which a host is watched.

-- Derived from the samples of a series' newest epoch by the noise tick. Deviations are those of logarithms (0.01: 1 %).
-- NULL: nothing of the kind was measured twice; zero is a spread that was seen.
CREATE TABLE noise_floor (
    series_id       bigint PRIMARY KEY REFERENCES series,
    environment_id  bigint NOT NULL REFERENCES environment,
    version         text NOT NULL,                 -- of the rules that made it
    answers_for     timestamptz NOT NULL,          -- series.changed_at when its measurements were read
    made_at         timestamptz NOT NULL DEFAULT now(),
    process_deviation double precision,            -- between the processes of one run
    process_count   integer,
    run_deviation   double precision,              -- between runs of one build
    run_count       integer,
    rebuild_deviation double precision,            -- between builds of one commit by one recipe and toolchain
    rebuild_count   integer,
    smallest_change double precision,              -- that one run a side shows (0.01: 1 %)
    smallest_change_of_five double precision,      -- that five runs of one build a side show
    basis           text CHECK (basis IN ('rebuilds', 'runs', 'processes')),
    CHECK ((process_deviation IS NULL) = (process_count IS NULL) AND process_count > 1),
    CHECK ((run_deviation IS NULL) = (run_count IS NULL) AND run_count > 1),
    CHECK ((rebuild_deviation IS NULL) = (rebuild_count IS NULL) AND rebuild_count > 1),
    CHECK ((smallest_change IS NULL) = (basis IS NULL) AND (smallest_change_of_five IS NULL) = (basis IS NULL))
);

-- A frozen interpreter: measured again and again, so that what changes is the host.
ALTER TABLE runtime ADD COLUMN control boolean NOT NULL DEFAULT false;
ALTER TABLE job DROP CONSTRAINT job_reason_check;
ALTER TABLE job ADD CONSTRAINT job_reason_check
    CHECK (reason IN ('newest', 'gap', 'release', 'requested', 'control'));

-- A moment from which a host's values are not compared with those before, though its facts are the same.
CREATE TABLE host_epoch (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host_id         bigint NOT NULL REFERENCES host,
    begins_at       timestamptz NOT NULL,          -- end of the control's first run that differs
    runtime_id      bigint NOT NULL REFERENCES runtime,  -- the control that moved
    change          double precision NOT NULL,     -- geometric mean over its benchmarks (0.01: 1 % slower)
    threshold       double precision NOT NULL,     -- what it had to pass
    version         text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (host_id, begins_at)
);

-- The newest run of a control on a host that the control tick has judged.
CREATE TABLE control_judged (
    host_id         bigint NOT NULL REFERENCES host,
    runtime_id      bigint NOT NULL REFERENCES runtime,
    run_id          bigint NOT NULL REFERENCES run,
    PRIMARY KEY (host_id, runtime_id)
);
CREATE INDEX run_host ON run (host_id, id DESC);
