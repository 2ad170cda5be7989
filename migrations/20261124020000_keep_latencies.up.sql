-- Response times of a server workload, whole: one histogram per benchmark and repetition of a run. The measurements hold
-- their percentiles; everything else that a reader may ask of them is in here.
CREATE TABLE latency_histogram (
    run_id          bigint NOT NULL REFERENCES run,
    benchmark_id    bigint NOT NULL REFERENCES benchmark,
    process         integer NOT NULL,              -- index of the repetition, as in sample_process
    hdr             bytea NOT NULL,                -- microseconds; HDR histogram, V2 with DEFLATE (hdrhistogram.org)
    PRIMARY KEY (run_id, benchmark_id, process)
);
