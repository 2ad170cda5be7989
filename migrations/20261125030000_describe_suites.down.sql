ALTER TABLE suite_benchmark DROP COLUMN baseline_id;
ALTER TABLE suite DROP COLUMN lock, DROP COLUMN description;
