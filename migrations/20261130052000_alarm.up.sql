-- What stands still although it should not: for the home page, for Prometheus, for a mail to the operators.
CREATE TABLE alarm (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('stale_runtime', 'silent_host', 'growing_queue', 'silent_hook', 'unfetched',
                                                  'failing_tick', 'late_tick', 'full_disk')),
    subject         text NOT NULL,                 -- a runtime, host, class of hosts, repository, tick or folder
    words           text NOT NULL,                 -- the rest of the sentence
    since           timestamptz NOT NULL,          -- when it began to be so
    seen_at         timestamptz NOT NULL,          -- first seen
    raised_at       timestamptz,                   -- NULL: seen, but not for long enough to say so
    missing_since   timestamptz,                   -- not so any more since then, but perhaps soon again
    cleared_at      timestamptz,
    told            text[] NOT NULL DEFAULT '{}',  -- who was told that it was raised; they are told of its end
    CHECK (cleared_at IS NULL OR raised_at IS NOT NULL)
);
CREATE UNIQUE INDEX alarm_open ON alarm (kind, subject) WHERE cleared_at IS NULL;
CREATE INDEX alarm_cleared ON alarm (cleared_at DESC) WHERE cleared_at IS NOT NULL;

-- How each tick did the last time, whichever backend it was.
CREATE TABLE tick_state (
    name            text PRIMARY KEY,
    ended_at        timestamptz NOT NULL,          -- of the newest pass that was noted
    failures        integer NOT NULL,              -- in a row; 0: the newest succeeded
    failing_since   timestamptz,
    error           text,
    CHECK ((failures = 0) = (failing_since IS NULL))
);
