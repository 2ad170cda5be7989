-- Pages keep the points of chunks in memory, by what they are made from: what is asked of Postgres for a page is which chunks there are now.
ALTER TABLE trace ADD COLUMN digest bytea NOT NULL GENERATED ALWAYS AS (sha256(points)) STORED;
