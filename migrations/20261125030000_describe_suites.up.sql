-- What a suite is, what it is locked to, and which of its benchmarks are the same work done otherwise. Suites that are known
-- already have none of it: they are announced anew under a new version.
ALTER TABLE suite
    ADD COLUMN description text NOT NULL DEFAULT '',
    ADD COLUMN lock jsonb NOT NULL DEFAULT '[]';   -- wire::LockedPackage, in the order of installing
ALTER TABLE suite_benchmark ADD COLUMN baseline_id bigint REFERENCES benchmark;
