-- What other parameters of the detector would have alarmed about, before one adopts them.
CREATE TABLE recompute (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    settings        jsonb NOT NULL,                -- detection::segments::Settings
    detector        text NOT NULL,                 -- their version, as verdicts would carry it
    runtime_id      bigint REFERENCES runtime,     -- NULL: every runtime
    requester       text NOT NULL,
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed')),
    result          jsonb,                         -- domain::recompute::Preview
    failure         text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK ((state = 'done') = (result IS NOT NULL) AND (state = 'failed') = (failure IS NOT NULL)),
    CHECK ((state = 'waiting') = (finished_at IS NULL))
);
CREATE INDEX recompute_waiting ON recompute (id) WHERE state = 'waiting';
