DROP INDEX series_benchmark;
DROP TABLE trace;
DROP INDEX series_to_trace;
ALTER TABLE series DROP COLUMN traced_at;
