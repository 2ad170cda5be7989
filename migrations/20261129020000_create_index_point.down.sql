DROP INDEX regression_created;
DROP TABLE index_state;
DROP TABLE index_values;
DROP TABLE index_point;
