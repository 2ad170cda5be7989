DROP TABLE report;
DROP TABLE notice;
DROP TABLE outbox;
DROP TABLE link_key;
DROP TABLE opted_out;
DROP TABLE subscription;
ALTER TABLE commit DROP COLUMN committer_name, DROP COLUMN committer_email;
