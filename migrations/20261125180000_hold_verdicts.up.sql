-- A change that may be the host's is held back until the host's control has spoken.

ALTER TABLE verdict
    ADD COLUMN held text CHECK (held IN ('repetition_pending', 'control_pending', 'control_unsteady', 'control_moved')),
    ADD CONSTRAINT verdict_held_change_check CHECK (held IS NULL OR state IN ('improved', 'regressed'));
CREATE INDEX verdict_held ON verdict (series_id) WHERE held IS NOT NULL;

-- What the newest run of a control says of its host; judged again once.
DELETE FROM control_judged;
ALTER TABLE control_judged
    ADD COLUMN standing text NOT NULL CHECK (standing IN ('unknown', 'steady', 'unsteady')),
    ADD COLUMN change double precision,            -- of an unsteady one: geometric mean over its benchmarks (0.01: 1 % slower)
    ADD COLUMN threshold double precision,         -- what it has passed
    ADD COLUMN settled_run_id bigint NOT NULL REFERENCES run,   -- its newest run that was not unsteady: later results are in doubt
    ADD CONSTRAINT control_judged_change_check
        CHECK ((standing = 'unsteady') = (change IS NOT NULL) AND (change IS NULL) = (threshold IS NULL));

-- When the control was last seen as it had been: what was measured between then and the beginning belongs to neither side.
ALTER TABLE host_epoch ADD COLUMN steady_until timestamptz;
