-- Where the instructions of a benchmark went in a run: the stacks are in the store, their sums by component here.
ALTER TABLE artefact DROP CONSTRAINT artefact_kind_check;
ALTER TABLE artefact ADD CONSTRAINT artefact_kind_check CHECK (kind IN ('build', 'run', 'log', 'profile'));
CREATE TABLE profile (
    run_id          bigint NOT NULL REFERENCES run,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    tool            text NOT NULL CHECK (tool IN ('callgrind')),
    total           double precision NOT NULL,     -- instructions of one loop
    components      jsonb NOT NULL,                -- [[component, instructions of one loop]], the largest first
    mapping         text NOT NULL,                 -- version of the mapping from functions to components
    artefact        text NOT NULL REFERENCES artefact,  -- wire::ProfileReport, compressed JSON
    PRIMARY KEY (run_id, benchmark_id, tool)
);
CREATE INDEX profile_benchmark ON profile (benchmark_id, run_id DESC);
