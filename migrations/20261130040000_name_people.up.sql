-- Who may do what: four roles, tokens with a kind, a scope and an end, sign-ins as rows of their own, and a log of every action.

-- ── Roles: viewer < triager < operator < admin ──────────────────────────────────────────────────
ALTER TABLE token DROP CONSTRAINT token_role_check;
UPDATE token SET role = 'viewer' WHERE role = 'reader';
ALTER TABLE token ADD CONSTRAINT token_role_check CHECK (role IN ('viewer', 'triager', 'operator', 'admin'));

-- ── Tokens ──────────────────────────────────────────────────────────────────────────────────────
ALTER TABLE token
    ADD COLUMN kind text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'importer')),
    ADD COLUMN owner text,                            -- who acts with it: the actor in timelines
    ADD COLUMN runtimes text[] NOT NULL DEFAULT '{*}', -- globs: what it may ask runs of, and write results of
    ADD COLUMN hosts text[] NOT NULL DEFAULT '{*}',
    ADD COLUMN expires_at timestamptz,                -- NULL: never
    ADD CONSTRAINT token_importer_reads CHECK (kind = 'person' OR role = 'viewer');
UPDATE token SET owner = name;
ALTER TABLE token ALTER COLUMN owner SET NOT NULL, ADD CONSTRAINT token_owner_check CHECK (owner <> 'speedwell');
CREATE INDEX token_owner ON token (owner);

-- ── Sign-ins ────────────────────────────────────────────────────────────────────────────────────
-- The cookie holds a random id, here is its hash. The id is replaced from time to time; the one before is accepted until the
-- new one has been seen, for the answer that carried it may have been lost.
CREATE TABLE session (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256          text NOT NULL UNIQUE,
    previous_sha256 text,
    actor           text NOT NULL,
    token_id        bigint REFERENCES token,       -- signed in with this token: its role and its end hold, or …
    provider        text,                          -- … at this forge ([[sign_in]] in the configuration), with
    role            text CHECK (role IN ('viewer', 'triager', 'operator', 'admin')), -- the role that it gave
    browser         text NOT NULL,                 -- what it said of itself, shortened; for its owner to recognise
    created_at      timestamptz NOT NULL DEFAULT now(),
    rotated_at      timestamptz NOT NULL DEFAULT now(),
    last_used_at    timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    CHECK ((token_id IS NULL) = (provider IS NOT NULL) AND (token_id IS NULL) = (role IS NOT NULL))
);
CREATE INDEX session_previous ON session (previous_sha256) WHERE previous_sha256 IS NOT NULL;
CREATE INDEX session_actor ON session (actor) WHERE ended_at IS NULL;
CREATE INDEX session_expires ON session (expires_at);

-- ── The audit log ───────────────────────────────────────────────────────────────────────────────
-- A row for everything that somebody did, written in the transaction that did it.
CREATE TABLE audit (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT now(),
    actor           text NOT NULL,                 -- a token's owner, 'github:ada', or 'cli:root'
    action          text NOT NULL,                 -- domain::audit::Action
    subject         text NOT NULL,                 -- what was acted on: 'regression 3', 'token ada-laptop'
    details         jsonb NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, id DESC);
CREATE INDEX audit_action ON audit (action, id DESC);
CREATE INDEX audit_subject ON audit (subject text_pattern_ops, id DESC);
