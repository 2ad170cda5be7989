"""Tests of what the memory suite's scripts report, under every interpreter that is here."""
from __future__ import division, print_function

import gc
import os
import random
import sys
import unittest
from array import array

from test_harness import HARNESS, run

OWN = os.path.join(os.path.dirname(HARNESS), "suites", "memory", "own")
PAUSES = ["gc_pause_p50", "gc_pause_p99", "gc_pause_max"]
STEPS = ["step_p50", "step_p99", "step_p999", "step_max"]

sys.path[:0] = [HARNESS, OWN]
sys.dont_write_bytecode = True
import collector  # noqa: E402 (found by the path above)


def reported(script):
    """What a script with the suite's folder on its path reports: values by metric, and reasons by metric."""
    status, events, output = run("import sys\nsys.path.insert(0, %r)\n%s" % (OWN, script), loops=1)
    if status:
        raise AssertionError(output)
    measures = [event for event in events if event["event"] == "measure"]
    return (dict((one["metric"], one["value"]) for one in measures if "value" in one),
            dict((one["metric"], one["reason"]) for one in measures if "reason" in one))


class MemorySuiteTest(unittest.TestCase):
    def test_quantiles_are_those_of_a_sorted_list(self):
        draw = random.Random(1)
        for count in list(range(1, 30)) + [999, 1000]:
            for make in (draw.random, lambda: float(draw.randrange(3)), lambda: 1.0):
                values = array("d", [make() for _ in range(count)])
                ordered = sorted(values)
                for share in (0.5, 0.99, 0.999, 1.0):
                    # At least this share of the values is no larger, and of the value before it less than that.
                    rank = ordered.index(collector.quantile(values, share))
                    self.assertTrue(sum(value <= ordered[rank] for value in ordered) >= share * count)
                    self.assertTrue(rank < share * count)
                self.assertEqual(sorted(values), ordered)

    @unittest.skipUnless(hasattr(gc, "hooks") or hasattr(gc, "callbacks"), "this collector tells nothing")
    def test_every_forced_collection_is_heard(self):
        script = """
import gc, collector
garbage = [[] for _ in range(300000)]
def work():
    gc.collect()
runner = pyperf.Runner()
collector.watch(runner)
runner.bench_func("collect", work)
"""
        values, reasons = reported(script)
        self.assertEqual(reasons, {})
        # CPython 3.14's full collection is one of several parts.
        self.assertTrue(1 <= values["gc_collections"] < 10, values)
        self.assertTrue(0.2 < values["gc_time_share"] <= 1, values)
        self.assertTrue(0 < values["gc_pause_p50"] <= values["gc_pause_p99"] <= values["gc_pause_max"] < 10, values)

    def test_a_collector_that_did_nothing_has_no_pauses_and_one_that_tells_nothing_says_so(self):
        values, reasons = reported("import collector\nrunner = pyperf.Runner()\ncollector.watch(runner)\n"
                                   "runner.bench_func('idle', len, '')\n")
        if hasattr(gc, "hooks") or hasattr(gc, "callbacks"):
            self.assertEqual(values, {"gc_collections": 0.0, "gc_time_share": 0.0})
            self.assertEqual(sorted(reasons), sorted(PAUSES))
        else:
            self.assertEqual(values, {})
            self.assertEqual(len(reasons), 5)
            self.assertIn("does not tell", reasons["gc_pause_p50"])

    def test_a_server_heap_reports_its_steps_in_order(self):
        script = ("sys.argv[1:] = ['500']\nimport runpy\nrunpy.run_path(%r, run_name='__main__')\n"
                  % os.path.join(OWN, "server_heap.py"))
        values, _ = reported(script)
        steps = [values[metric] for metric in STEPS]
        self.assertEqual(steps, sorted(steps))
        self.assertTrue(0 < steps[0] and steps[-1] < 10, steps)


if __name__ == "__main__":
    unittest.main()
