ALTER TABLE job DROP COLUMN bisection_id;
DROP TABLE bisection_change;
DROP TABLE bisection_commit;
DROP TABLE bisection_host;
DROP TABLE bisection;
