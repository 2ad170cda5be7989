"""Tests of the harness: run under every interpreter that is here, from Python 2.7 on, with nothing but its library.

    python -m unittest discover -s worker/harness/tests
"""
from __future__ import print_function

import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

HARNESS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(script, mode="timing", loops=2, warmups=1, values=3, answer=True, select=None, interpreter=None):
    """Runs a script as the worker does; returns its status, its events and its output."""
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "bench")
    with open(path, "w") as file:
        file.write("import pyperf, time\n" + script if interpreter is None else script)
    events_reader, events_writer = os.pipe()
    control_reader, control_writer = os.pipe()
    settings = {"protocol": 1, "events_fd": 13, "control_fd": 14, "mode": mode, "loops": loops, "warmups": warmups,
                "warmup_seconds": 0.0, "values": values, "max_seconds": 30.0, "select": select}
    environment = dict(os.environ, PYTHONPATH=HARNESS, PYTHONDONTWRITEBYTECODE="1", SPEEDWELL_LIBRARY=HARNESS,
                       MICROPYPATH=".frozen:" + os.path.join(HARNESS, "micropython"),
                       SPEEDWELL_HARNESS=json.dumps(settings))

    def place_descriptors():
        os.dup2(events_writer, 13)
        os.dup2(control_reader, 14)
        # Python 2 hands every descriptor on; the worker does not.
        for descriptor in (events_reader, events_writer, control_reader, control_writer):
            os.close(descriptor)

    command = interpreter if isinstance(interpreter, list) else [interpreter or sys.executable]
    process = subprocess.Popen(command + [path], env=environment, preexec_fn=place_descriptors, close_fds=False,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.close(events_writer)
    os.close(control_reader)
    events = []

    def listen():
        with os.fdopen(events_reader, "rb") as stream:
            # Not "for line in stream": Python 2 would read ahead and wait.
            for line in iter(stream.readline, b""):
                event = json.loads(line.decode("ascii"))
                events.append(event)
                if answer and event["event"] in ("start", "enable", "disable", "resting", "end"):
                    os.write(control_writer, b"ok\n")
                elif not answer:
                    os.close(control_writer)
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    output = process.communicate()[0]
    # A child that inherited the pipe's end in this very process would keep it open: only ours is left.
    listener.join(10)
    if answer:
        os.close(control_writer)
    return process.returncode, events, output.decode("utf-8", "replace")


class HarnessTest(unittest.TestCase):
    def test_every_iteration_is_told_and_warmups_are_marked(self):
        status, events, output = run("pyperf.Runner().bench_func('nap', time.sleep, 0.002)\n")
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events],
                         ["start", "benchmark"] + ["value"] * 4 + ["end"])
        values = [event for event in events if event["event"] == "value"]
        self.assertEqual([value["warmup"] for value in values], [True, False, False, False])
        for value in values:
            self.assertEqual((value["loops"], value["inner_loops"]), (2, 1))
            self.assertTrue(0.004 <= value["seconds"] < 0.2, value)
        self.assertIn(events[0]["clock"], ("perf_counter", "clock_gettime"))
        self.assertEqual(events[0]["pid"] > 0, True)

    def test_a_time_function_times_itself(self):
        script = "pyperf.Runner().bench_time_func('fixed', lambda loops, each: loops * each, 0.25, inner_loops=5)\n"
        status, events, output = run(script, loops=3)
        self.assertEqual(status, 0, output)
        values = [event for event in events if event["event"] == "value"]
        self.assertEqual(set((value["seconds"], value["loops"], value["inner_loops"]) for value in values),
                         set([(0.75, 3, 5)]))

    def test_counters_are_switched_around_what_the_script_times(self):
        script = ("pyperf.perf_counter()\nr = pyperf.Runner()\n"
                  "def f(loops):\n    time.sleep(0.001)\n    begun = pyperf.perf_counter()\n    time.sleep(0.001)\n"
                  "    return pyperf.perf_counter() - begun\nr.bench_time_func('timed', f)\n")
        status, events, output = run(script, mode="counters", values=1)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events],
                         ["start", "benchmark"] + ["enable", "disable", "value"] * 2 + ["end"])

    def test_a_function_that_reads_the_clock_itself_is_counted_as_a_whole(self):
        script = ("r = pyperf.Runner()\ndef f():\n    begun = pyperf.perf_counter()\n    time.sleep(0.02)\n"
                  "    assert pyperf.perf_counter() - begun > 0.01\nr.bench_func('timed', f)\n")
        if sys.version_info >= (3, 5):
            script = script.replace("def f", "async def f").replace("bench_func", "bench_async_func")
        status, events, output = run(script, mode="counters", values=1)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events],
                         ["start", "benchmark"] + ["enable", "disable", "value"] * 2 + ["end"])
        self.assertTrue(all(event["seconds"] > 0.03 for event in events if event["event"] == "value"), events)

    def test_calibration_doubles_until_an_iteration_is_long_enough(self):
        status, events, output = run("pyperf.Runner().bench_func('nap', time.sleep, 0.03)\n", mode="calibrate", loops=1,
                                     values=1)
        self.assertEqual(status, 0, output)
        loops = [event["loops"] for event in events if event["event"] == "benchmark"]
        self.assertEqual(loops, [4])

    @unittest.skipIf(sys.version_info < (3, 5), "Python 2 has no coroutines")
    def test_a_coroutine_function_is_awaited_loops_times(self):
        script = """
count = [0]
async def step(number):
    count[0] += number
runner = pyperf.Runner()
runner.bench_async_func("steps", step, 1)
assert count[0] == 2 * 4, count
"""
        status, events, output = run(script)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events].count("value"), 4)

    def test_a_command_is_timed_and_its_childrens_memory_is_told_apart_from_its_own(self):
        script = ("import sys\npyperf.Runner().bench_command('start', [sys.executable, '-S', '-c', CODE])\n")
        large = script.replace("CODE", "'x = bytearray(1 << 28)'")
        status, events, output = run(large, loops=1, values=1)
        self.assertEqual(status, 0, output)
        self.assertTrue(events[-1]["children_max_rss_bytes"] > 1 << 28, events[-1])
        small = "held = bytearray(1 << 28)\n" + script.replace("CODE", "'pass'")
        status, events, output = run(small, loops=1, values=1)
        self.assertEqual(status, 0, output)
        self.assertNotIn("children_max_rss_bytes", events[-1])
        self.assertIn("no larger than", events[-1]["children_max_rss_reason"])

    def test_a_child_waits_while_its_memory_is_read(self):
        script = """
import sys
REST = "import sys; sys.stdout.write('resting\\\\n'); sys.stdout.flush(); sys.stdin.read()"
pyperf.Runner().bench_command('start', [sys.executable, '-S', '-c', 'pass'], resting=[sys.executable, '-S', '-c', REST])
"""
        status, events, output = run(script, loops=1, values=1)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events], ["start", "benchmark", "value", "value", "resting", "end"])
        self.assertEqual(sorted(events[-1]), ["event"])
        status, events, output = run(script.replace("resting\\", "awake\\"), loops=1, values=1)
        self.assertNotEqual(status, 0)
        self.assertIn("the resting command said", output)

    def test_a_script_reports_what_its_measured_iterations_did(self):
        script = """
seen = []
runner = pyperf.Runner()
def after(loops):
    runner.report("step_p50", 0.25)
    runner.report("gc_pause_p50", reason=u"no h\\u00f6ok")
    runner.report("gc_collections", len(seen) / float(loops))
runner.around_values(before=lambda: seen.__delitem__(slice(None)), after=after)
runner.bench_func("work", seen.append, 1)
"""
        status, events, output = run(script, warmups=4, values=3)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events],
                         ["start", "benchmark"] + ["value"] * 7 + ["measure"] * 3 + ["end"])
        told = [(event["metric"], event.get("value"), event.get("reason")) for event in events[-4:-1]]
        self.assertEqual(told, [("step_p50", 0.25, None), ("gc_pause_p50", None, u"no h\u00f6ok"),
                                ("gc_collections", 1.0, None)])
        self.assertEqual(sorted(events[-1]), ["event"])

    def test_a_clock_of_the_script_switches_no_counter(self):
        script = "pyperf.Runner().bench_func('clocks', lambda: [pyperf.clock() for _ in range(9)])\n"
        status, events, output = run(script, mode="counters", values=1)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events].count("enable"), 2)

    def test_a_second_benchmark_is_an_error(self):
        status, events, _ = run("r = pyperf.Runner()\nr.bench_func('a', len, '')\nr.bench_func('b', len, '')\n")
        self.assertEqual(status, 64)
        self.assertEqual(events[-1]["event"], "error")

    def test_the_selected_benchmark_of_several_runs_alone(self):
        script = "runner = pyperf.Runner()\nfor name in 'abc': runner.bench_func(name, len, name)\n"
        status, events, output = run(script, select="b")
        self.assertEqual(status, 0, output)
        self.assertEqual([event["name"] for event in events if event["event"] == "benchmark"], ["b"])

    def test_a_worker_that_is_gone_ends_the_process(self):
        status, _, _ = run("pyperf.Runner().bench_func('nap', time.sleep, 10)\n", answer=False)
        self.assertEqual(status, 75)

    def test_texts_are_ascii_and_short(self):
        script = "r = pyperf.Runner(metadata={'note': u'\\u00e9' * 9000})\nr.bench_func('a', len, '')\n"
        status, events, output = run(script)
        self.assertEqual(status, 0, output)
        metadata = [event for event in events if event["event"] == "benchmark"][0]["metadata"]
        self.assertEqual(len(metadata["note"]), 500)


JAVASCRIPT = """
const { bench, check } = require(process.env.SPEEDWELL_LIBRARY + "/speedwell.js");
bench("s\u00fcm", (loops) => {
  for (let loop = 0; loop < loops; loop += 1) check([1, 2, 3].reduce((a, b) => a + b), EXPECTED);
});
"""
PHP = """<?php
require getenv("SPEEDWELL_LIBRARY") . "/speedwell.php";
Speedwell\\bench("s\u00fcm", function (int $loops): void {
    for ($loop = 0; $loop < $loops; $loop++) {
        Speedwell\\check(array_sum([1, 2, 3]), EXPECTED);
    }
});
"""
MICROPYTHON = u"""
import json, os, sys, time
if sys.implementation.name != "micropython":
    # What only MicroPython has, so that the module can be tried where there is none.
    time.ticks_us = lambda: time.perf_counter_ns() // 1000
    sys.path.insert(0, os.getenv("MICROPYPATH").split(":")[1])
from __future__ import division
from six.moves import xrange
import pyperf

def work(number):
    total = 0
    for _ in xrange(5000):
        total = sum((1, 2, number))
    if total != EXPECTED:
        raise AssertionError(total)

runner = pyperf.Runner(add_cmdline_args=None)
runner.argparser.add_argument("-n", "--the-number", type=int, default=3, help="three")
runner.argparser.add_argument("--fast", action="store_true")
runner.argparser.add_argument("kind", nargs="?", choices=["one", "two"])
if runner.argparser.parse_args(["--the-number=5", "--fast", "two"]).__dict__ != {"the_number": 5, "fast": True, "kind": "two"}:
    raise AssertionError("the arguments")
runner.bench_func("s\u00fcm", work, runner.parse_args([]).the_number)
"""

JAVA = """
public final class Bench {
    public static void main(String[] arguments) throws Exception {
        Speedwell.bench("s\\u00fcm", loops -> {
            for (long loop = 0; loop < loops; loop++) {
                Speedwell.check(java.util.stream.LongStream.of(1, 2, 3).sum(), EXPECTED);
            }
        });
    }
}
"""
JAVA_COMPILER = ["--module", "jdk.compiler/com.sun.tools.javac.Main", "-Xlint:all", "-Werror"]


def installed(name):
    """The path of a program that is here, or ``None``."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    return None


@unittest.skipIf(sys.version_info < (3,), "once is enough: these say nothing of the Python that runs them")
class OtherLanguagesTest(unittest.TestCase):
    """The same protocol from the harnesses beside pyperf.py."""

    def check_protocol(self, interpreter, script, select=u"\u00fc\"\\,}\n"):
        # A harness that does not heed `select` must read past whatever it holds.
        status, events, output = run(script.replace("EXPECTED", "6"), interpreter=interpreter, select=select)
        self.assertEqual(status, 0, output)
        self.assertEqual([event["event"] for event in events],
                         ["start", "benchmark", "value", "value", "value", "value", "end"])
        self.assertEqual([event["warmup"] for event in events[2:6]], [True, False, False, False])
        self.assertEqual(events[1]["name"], u"s\u00fcm")
        self.assertTrue(all(event["seconds"] > 0 and event["loops"] == 2 for event in events[2:6]))
        status, events, output = run(script.replace("EXPECTED", "6"), mode="counters", values=1, interpreter=interpreter)
        self.assertEqual([event["event"] for event in events],
                         ["start", "benchmark", "enable", "disable", "value", "enable", "disable", "value", "end"], output)
        status, events, output = run(script.replace("EXPECTED", "7"), interpreter=interpreter)
        self.assertNotEqual(status, 0, "a wrong result is no measurement")
        self.assertNotIn("end", [event["event"] for event in events])
        status, events, output = run(script.replace("EXPECTED", "6"), answer=False, interpreter=interpreter)
        self.assertEqual(status, 75, output)

    @unittest.skipUnless(installed("node"), "no node on this machine")
    def test_javascript(self):
        self.check_protocol(installed("node"), JAVASCRIPT)

    @unittest.skipUnless(installed("php"), "no php on this machine")
    def test_php(self):
        self.check_protocol(installed("php"), PHP)

    @unittest.skipUnless(installed("java"), "no java on this machine")
    def test_java(self):
        java = installed("java")
        classes = tempfile.mkdtemp()
        harness = os.path.join(HARNESS, "Speedwell.java")
        subprocess.check_call([java] + JAVA_COMPILER + ["-d", classes, harness])
        # The script itself is started from its source: it has no compiled class.
        self.check_protocol([java, "-cp", classes, "--source", "11"], JAVA)

    @unittest.skipUnless(sys.version_info >= (3, 7), "it has no nanoseconds")
    def test_what_micropython_gets_under_this_python(self):
        self.check_protocol(sys.executable, MICROPYTHON.replace("from __future__ import division\n", ""), select=u"s\u00fcm")

    @unittest.skipUnless(installed("micropython"), "no micropython on this machine")
    def test_micropython(self):
        self.check_protocol(installed("micropython"), MICROPYTHON, select=u"s\u00fcm")


if __name__ == "__main__":
    unittest.main()
