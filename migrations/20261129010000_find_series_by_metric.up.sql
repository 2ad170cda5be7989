-- Comparisons look up the series of one runtime, metric and host, and which metrics there are at all, without reading its other series.
CREATE INDEX series_runtime_metric ON series (runtime_id, metric, host_id, counter_source);
