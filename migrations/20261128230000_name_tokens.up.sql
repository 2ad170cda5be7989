-- Who may act, beside the hosts. A token is 256 random bits; only its hash is kept. Reading needs none.
CREATE TABLE token (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE,          -- the actor in timelines; 'speedwell' is the loop itself
    role            text NOT NULL CHECK (role IN ('reader', 'triager', 'operator')),
    sha256          text NOT NULL UNIQUE,
    created_at      timestamptz NOT NULL DEFAULT now(),
    last_used_at    timestamptz,
    revoked_at      timestamptz,                   -- the name stays: timelines refer to it
    CHECK (name <> 'speedwell')
);
