DROP INDEX series_runtime_metric;
