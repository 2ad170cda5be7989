-- Retention: what has gone from the store and from measurements is known to have gone, and is never asked for again.

-- The row stays when the object goes, so that everything that refers to it can say so.
ALTER TABLE artefact ADD COLUMN stored_at timestamptz,   -- the newest upload of these bytes; their age
                     ADD COLUMN removed_at timestamptz;  -- by retention; a new upload sets it to NULL
UPDATE artefact SET stored_at = created_at;
ALTER TABLE artefact ALTER COLUMN stored_at SET DEFAULT now(), ALTER COLUMN stored_at SET NOT NULL;
CREATE INDEX artefact_age ON artefact (kind, stored_at) WHERE removed_at IS NULL;

-- Partitions of measurements that hold summaries and no samples any more.
CREATE TABLE thinned_partition (
    name            text PRIMARY KEY,
    newest_id       bigint NOT NULL,               -- of its measurements then; a newer one has samples again
    bytes_before    bigint NOT NULL,
    bytes_after     bigint NOT NULL,
    thinned_at      timestamptz NOT NULL DEFAULT now()
);
