DROP TABLE recompute;
