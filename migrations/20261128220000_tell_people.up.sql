-- Telling people: who wants to hear, what each is owed, what was sent.

-- ── Committers ──────────────────────────────────────────────────────────────────────────────────
-- NULL: taken in before this was read.
ALTER TABLE commit ADD COLUMN committer_name text, ADD COLUMN committer_email text;

-- ── Subscriptions ───────────────────────────────────────────────────────────────────────────────
CREATE TABLE subscription (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE CHECK (name <> ''),
    channel         text NOT NULL CHECK (channel IN ('mail', 'webhook', 'slack', 'mattermost', 'zulip', 'matrix')),
    address         text NOT NULL,                 -- a mail address, or a URL, which may itself be a secret
    secret          text,                          -- webhook: key of the signature; matrix: access token
    runtimes        text NOT NULL DEFAULT '*',     -- globs
    benchmarks      text NOT NULL DEFAULT '*',
    paths           text NOT NULL DEFAULT '*',     -- of the culprit's files; '*': also before a culprit is known
    smallest        double precision NOT NULL DEFAULT 0 CHECK (smallest >= 0),  -- 0.02: changes of at least 2 %
    direction       text NOT NULL DEFAULT 'both' CHECK (direction IN ('worse', 'better', 'both')),
    digest          text NOT NULL DEFAULT 'at_once' CHECK (digest IN ('at_once', 'daily')),
    quiet_from      smallint CHECK (quiet_from BETWEEN 0 AND 23),  -- hours, UTC
    quiet_to        smallint CHECK (quiet_to BETWEEN 0 AND 23),
    reports         boolean NOT NULL DEFAULT false,  -- daily reports of the runtimes, too
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CHECK ((quiet_from IS NULL) = (quiet_to IS NULL)),
    CHECK (quiet_from IS DISTINCT FROM quiet_to OR quiet_from IS NULL)
);

-- Addresses that asked to hear no more, beside those of the configuration.
CREATE TABLE opted_out (
    address         text PRIMARY KEY,              -- lower case
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- Signs the links in mails: made once, the same for all backends.
CREATE TABLE link_key (
    single          boolean PRIMARY KEY DEFAULT true CHECK (single),
    key             bytea NOT NULL
);
INSERT INTO link_key (key)
    VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

-- ── Outbox ──────────────────────────────────────────────────────────────────────────────────────
-- A message to one recipient. At least once, and with a key by which a receiver knows it again.
CREATE TABLE outbox (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key             text NOT NULL UNIQUE,
    channel         text NOT NULL CHECK (channel IN ('mail', 'webhook', 'chat', 'forge')),
    recipient       text NOT NULL,                 -- a mail address, a subscription's name, or a forge's request
    subscription_id bigint REFERENCES subscription ON DELETE SET NULL,
    regression_id   bigint REFERENCES regression,  -- NULL: several, or a report
    payload         jsonb NOT NULL,                -- alerts::Payload
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts        integer NOT NULL DEFAULT 0,    -- begun
    next_attempt_at timestamptz NOT NULL,
    last_error      text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    CHECK ((state = 'waiting') = (finished_at IS NULL))
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE state = 'waiting';
CREATE INDEX outbox_state ON outbox (state, id DESC);
CREATE INDEX outbox_regression ON outbox (regression_id);
CREATE INDEX outbox_subscription ON outbox (subscription_id);

-- What a recipient is owed of an event: one row, whichever of several reasons led there, so that nobody is told twice.
CREATE TABLE notice (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        bigint NOT NULL REFERENCES regression_event ON DELETE CASCADE,
    channel         text NOT NULL CHECK (channel IN ('mail', 'webhook', 'chat', 'forge')),
    recipient       text NOT NULL,
    subscription_id bigint REFERENCES subscription ON DELETE SET NULL,
    why             text NOT NULL,                 -- in words, for the end of the message
    not_before      timestamptz NOT NULL,
    outbox_id       bigint REFERENCES outbox,      -- NULL: not put into a message yet
    dropped         text,                          -- why it never will be
    UNIQUE (event_id, channel, recipient)
);
CREATE INDEX notice_waiting ON notice (not_before) WHERE outbox_id IS NULL AND dropped IS NULL;
CREATE INDEX notice_outbox ON notice (outbox_id);

-- ── Daily reports ───────────────────────────────────────────────────────────────────────────────
CREATE TABLE report (
    runtime_id      bigint NOT NULL REFERENCES runtime,
    day             date NOT NULL,
    facts           jsonb NOT NULL,                -- domain::report::Report
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (runtime_id, day)
);
CREATE INDEX report_day ON report (day DESC);
