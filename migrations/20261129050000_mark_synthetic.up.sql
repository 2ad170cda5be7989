-- Data made up for load tests. A database holds either such data or measured ones, and every page says so.
ALTER TABLE repository ADD COLUMN synthetic boolean NOT NULL DEFAULT false;
