-- Hooks of forges: what arrived, what it caused, and what is known of pull requests.

-- due_at: set when it is to be looked at without waiting for the schedule; the look that begins later takes it away.
-- forge_paused_until: the forge asked to be left alone until then.
ALTER TABLE repository ADD COLUMN due_at timestamptz, ADD COLUMN forge_paused_until timestamptz;

CREATE TABLE delivery (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    forge           text NOT NULL CHECK (forge IN ('github', 'gitlab', 'forgejo')),
    delivery_key    text NOT NULL,                 -- the forge's own id of it; of a replay 'replay ID NUMBER'
    event           text NOT NULL,
    headers         jsonb NOT NULL,                -- those of interest, by name; never a secret or a signature
    body            bytea NOT NULL,                -- JSON, compressed by zstd
    body_bytes      integer NOT NULL,              -- before compression
    received_at     timestamptz NOT NULL DEFAULT now(),
    repeats         integer NOT NULL DEFAULT 0,    -- how often it came again; that causes nothing
    replay_of       bigint REFERENCES delivery ON DELETE SET NULL,
    replayed_by     text,                          -- who had it done again
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'noted', 'failed')),
    attempts        integer NOT NULL DEFAULT 0,    -- begun
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    caused          jsonb NOT NULL DEFAULT '[]',   -- list of domain::hook::Effect
    words           text,                          -- what followed, why nothing did, or what is wrong
    finished_at     timestamptz,
    UNIQUE (repository_id, delivery_key),
    CHECK ((state = 'waiting') = (finished_at IS NULL))
);
CREATE INDEX delivery_due ON delivery (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX delivery_repository ON delivery (repository_id, id DESC);
CREATE INDEX delivery_state ON delivery (state, id DESC);
CREATE INDEX delivery_received ON delivery (received_at);
CREATE INDEX delivery_replay ON delivery (replay_of) WHERE replay_of IS NOT NULL;

-- Pull requests (on GitLab: merge requests) as the newest delivery says. All texts are anyone's.
CREATE TABLE pull_request (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id   bigint NOT NULL REFERENCES repository,
    number          bigint NOT NULL,
    title           text NOT NULL,
    author          text,                          -- NULL: the forge has not said it yet
    head_hash       text NOT NULL,
    head_branch     text NOT NULL,
    base_branch     text NOT NULL,
    state           text NOT NULL CHECK (state IN ('open', 'closed', 'merged')),
    fork            boolean NOT NULL,              -- the branch is in another project: a stranger may have written it
    updated_at      timestamptz NOT NULL,          -- the forge's clock: of two deliveries the later counts
    UNIQUE (repository_id, number)
);
