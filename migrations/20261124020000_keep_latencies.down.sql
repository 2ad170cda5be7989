DROP TABLE latency_histogram;
