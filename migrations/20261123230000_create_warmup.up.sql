-- Warm-up and steady state of each process: derived from the samples by the warmup tick, made again when its rules change.

-- Work of one iteration: a sample times this is the time that the iteration took. NULL: measured before this was kept.
ALTER TABLE measurement ADD COLUMN loops bigint CHECK (loops > 0);

-- Version of the rules that the run was last looked at with; '' : not yet.
ALTER TABLE run ADD COLUMN warmup_version text NOT NULL DEFAULT '';
CREATE INDEX run_warmup ON run (warmup_version, id);

CREATE TABLE warmup (
    run_id          bigint NOT NULL REFERENCES run,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    class           text NOT NULL CHECK (class IN
                    ('flat', 'warmup', 'slowdown', 'no_steady_state', 'good_inconsistent', 'bad_inconsistent')),
    -- One element per process, in the order of the processes.
    process_class   text[] NOT NULL,
    steady_from     integer[] NOT NULL,            -- first steady iteration; NULL: no steady state
    PRIMARY KEY (run_id, benchmark_id)
);
