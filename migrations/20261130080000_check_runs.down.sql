DROP TABLE check_run;
