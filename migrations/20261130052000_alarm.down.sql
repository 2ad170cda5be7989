DROP TABLE tick_state;
DROP TABLE alarm;
