-- What charts read: the points of a series packed by the trace tick, so that a chart of twenty thousand points is a few dozen rows.

ALTER TABLE series ADD COLUMN traced_at timestamptz;   -- changed_at of the measurements that its trace was made from; NULL: none is made yet
CREATE INDEX series_to_trace ON series (changed_at) WHERE traced_at IS NULL OR traced_at < changed_at;

-- The points of a fixed range of branch positions: chunk n holds those from n * 256 on. Derived.
CREATE TABLE trace (
    series_id       bigint NOT NULL REFERENCES series ON DELETE CASCADE,
    chunk           integer NOT NULL CHECK (chunk >= 0),
    first_position  integer NOT NULL,
    last_position   integer NOT NULL,
    first_time      timestamptz NOT NULL,          -- of the commits; the earliest, for they need not be in order
    last_time       timestamptz NOT NULL,
    point_count     integer NOT NULL CHECK (point_count > 0),
    points          bytea NOT NULL,                -- domain::trace::pack
    PRIMARY KEY (series_id, chunk)
);
-- Numbers compress badly, and what is compressed is slow to read.
ALTER TABLE trace ALTER COLUMN points SET STORAGE EXTERNAL;

-- The timeline asks for the series of benchmarks.
CREATE INDEX series_benchmark ON series (benchmark_id, metric);
