"""Speedwell's benchmark harness: offers the part of pyperf's ``Runner`` interface that suites use.

A suite's scripts say ``import pyperf``; with this file's folder first on ``PYTHONPATH`` they get this module. It runs
on CPython 2.7 and 3.5 to 3.15, PyPy 2 and 3, and Jython 2.7, with nothing but the standard library, so that the
harness is the same for every runtime and never a variable of a comparison.

One process runs one benchmark. The worker starts it with the variable ``SPEEDWELL_HARNESS`` (JSON: protocol,
events_fd, control_fd, mode, loops, warmups, warmup_seconds, values, max_seconds; and select, the one benchmark of a
script that defines several). This module writes one JSON object a line to ``events_fd`` and waits for ``ok`` lines on ``control_fd``:

    start      -> ok       the worker opens its counters on this process
    benchmark              name, loops and metadata, once
    enable     -> ok       (mode "counters") the timed region begins
    disable    -> ok       (mode "counters") it has ended
    value                  one iteration: seconds of the whole timed region, and whether it is a warm-up
    measure                what the script reports of this process: a metric with its value, or the reason why it has none
    resting    -> ok       the worker reads the memory of this process's only child, which is the benchmark and waits
    end        -> ok       the worker reads the memory of this process meanwhile; where child processes are the benchmark
                           and none rested, this says their peak (children_max_rss_bytes), or why it is not known

When the worker goes away, the control pipe ends and the process exits with status 75. Without the variable a script
runs by hand and prints a short summary.
"""
from __future__ import division, print_function

import argparse
import json
import os
import subprocess
import sys
import time

__version__ = "speedwell-4"

PROTOCOL = 1
EXIT_USAGE = 64         # a script defined no benchmark, or a second one
EXIT_WORKER_GONE = 75   # the control pipe ended
CALIBRATE_SECONDS = 0.1
LONGEST_TEXT = 500


# -- The clock ---------------------------------------------------------------------------------------

def _monotonic_by_ctypes():
    """clock_gettime(CLOCK_MONOTONIC) for Python 2.7; ``None`` where ctypes or the call is missing."""
    try:
        import ctypes

        class Timespec(ctypes.Structure):
            _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]

        function = ctypes.CDLL(None, use_errno=True).clock_gettime
        function.argtypes = [ctypes.c_int, ctypes.POINTER(Timespec)]
        now = Timespec()
        pointer = ctypes.pointer(now)
        if function(1, pointer) != 0:
            return None
    except Exception:
        return None

    def read():
        function(1, pointer)
        return now.seconds + now.nanoseconds * 1e-9
    return read


def _find_clock():
    """(name, function): a monotonic clock where there is one. ``time`` can be stepped and says so by its name."""
    if hasattr(time, "perf_counter"):
        return "perf_counter", time.perf_counter
    if python_implementation() == "jython":
        try:
            from java.lang import System
            return "nanoTime", lambda: System.nanoTime() * 1e-9
        except ImportError:
            pass
    read = _monotonic_by_ctypes()
    if read is not None:
        return "clock_gettime", read
    return "time", time.time


def python_implementation():
    """``cpython``, ``pypy``, ``jython``: lower case, as pyperf says it."""
    if hasattr(sys, "implementation"):
        return sys.implementation.name.lower()
    import platform
    return platform.python_implementation().lower()


def python_has_jit():
    """Whether iterations need a warm-up by a just-in-time compiler."""
    if python_implementation() == "pypy":
        return bool(sys.pypy_translation_info["translation.jit"])
    return python_implementation() in ("jython", "graalpy")


CLOCK_NAME, _clock = _find_clock()

#: The clock that scripts read around what they time. In mode "counters" it is replaced by one that also switches the
#: worker's counters, so that they count the very region that the script itself times.
perf_counter = _clock

#: The same clock for scripts that take times inside of what they time: it switches nothing.
clock = _clock


# -- The pipe to the worker ------------------------------------------------------------------------------

class _Worker(object):
    """Writes events and waits for their answers."""

    def __init__(self, settings):
        self._events = self._open(settings["events_fd"], "wb")
        self._control = None
        if settings.get("control_fd") is not None:
            self._control = self._open(settings["control_fd"], "rb")

    @staticmethod
    def _open(descriptor, mode):
        try:
            return os.fdopen(descriptor, mode, 0)
        except Exception:
            # Jython has no descriptors of its own; the kernel lets it open them by path.
            return open("/proc/self/fd/%d" % descriptor, mode, 0)

    def send(self, event, **fields):
        fields["event"] = event
        line = json.dumps(fields, sort_keys=True, ensure_ascii=True) + "\n"
        self._events.write(line.encode("ascii"))

    def ask(self, event, **fields):
        """Sends an event and waits until the worker has done its part."""
        self.send(event, **fields)
        if self._control is None:
            return
        answer = self._control.readline()
        if answer.strip() != b"ok":
            # No clean-up: whoever started this process is gone, and so is the reason to go on.
            os._exit(EXIT_WORKER_GONE)


class _Person(object):
    """Stands in for the worker when a script is run by hand."""

    def send(self, event, **fields):
        if event == "value":
            per_loop = fields["seconds"] / fields["loops"] / fields["inner_loops"]
            print("%s %2d: %.6g s" % ("warm-up" if fields["warmup"] else "value  ", fields["index"], per_loop))
        elif event == "benchmark":
            print("%s: %d loops" % (fields["name"], fields["loops"]))
        elif event == "measure":
            known = fields.get("value")
            print("%s: %s" % (fields["metric"], fields["reason"] if known is None else "%.6g" % known))
        elif event == "error":
            print(fields["message"], file=sys.stderr)

    ask = send


def _settings():
    text = os.environ.pop("SPEEDWELL_HARNESS", None)
    if text is None:
        return None
    settings = json.loads(text)
    if settings.get("protocol") != PROTOCOL:
        sys.exit("the worker speaks harness protocol %r, this harness %d" % (settings.get("protocol"), PROTOCOL))
    return settings


def _keep_from_children(descriptors):
    """Python 2 hands every descriptor to its children; a benchmark's child must not hold the worker's pipes."""
    try:
        import fcntl
        for descriptor in descriptors:
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFD)
            fcntl.fcntl(descriptor, fcntl.F_SETFD, flags | fcntl.FD_CLOEXEC)
    except Exception:
        pass  # Jython: its children get none anyway.


class _Counting(object):
    """A clock that tells the worker when a timed region begins (odd readings) and ends (even ones). Outside of a
    benchmark's iterations it is a plain clock: scripts also read it while they prepare their data."""

    def __init__(self, worker):
        self.worker = worker
        self.active = False
        self.inside = False
        self.owned = False

    def __call__(self):
        if not self.active or self.owned:
            return _clock()
        if self.inside:
            now = _clock()
            self.inside = False
            self.worker.ask("disable")
            return now
        self.inside = True
        self.worker.ask("enable")
        return _clock()

    def around(self):
        """A reading of the harness itself. Between two of them the script's own readings switch nothing: the coroutine of
        ``asyncio_websockets`` reads the clock too, although nobody asks for its time."""
        self.owned = False
        now = self()
        self.owned = self.inside
        return now


def _own_clock():
    """The clock for a region that the harness itself times."""
    return perf_counter.around if isinstance(perf_counter, _Counting) else perf_counter


#: Text, because Python 2 cannot read its syntax.
_ASYNC = """
async def timed(read, loops, func, args):
    repeat = range(loops)
    begun = read()
    for _ in repeat:
        await func(*args)
    return read() - begun
"""


def _coroutine():
    """``timed`` of the text above. A function of its own: Jython allows no exec beside variables of an outer one."""
    names = {}
    exec(_ASYNC, names)
    return names["timed"]


# -- The interface of suites -------------------------------------------------------------------------------

class Runner(object):
    """As much of ``pyperf.Runner`` as suites use. Numbers of processes, values and warm-ups that a script asks for
    are the worker's business here and are ignored."""

    def __init__(self, values=None, processes=None, warmups=None, loops=0, min_time=0.1, metadata=None,
                 show_name=True, program_args=None, add_cmdline_args=None, _argparser=None, **ignored):
        self.metadata = dict(metadata or {})
        self.argparser = _argparser or argparse.ArgumentParser()
        self.args = None
        self._benchmarks = 0
        self._before, self._after = None, None
        settings = _settings()
        self._settings = settings or {
            "mode": "calibrate", "loops": 1, "warmups": 1, "warmup_seconds": 0.0, "values": 5, "max_seconds": 60.0,
        }
        if settings is None:
            self._worker = _Person()
        else:
            descriptors = [settings["events_fd"]]
            if settings.get("control_fd") is not None:
                descriptors.append(settings["control_fd"])
            _keep_from_children(descriptors)
            self._worker = _Worker(settings)
        if self._settings["mode"] == "counters":
            global perf_counter
            perf_counter = _Counting(self._worker)

    def parse_args(self, args=None):
        """Parses the script's own arguments, once."""
        if self.args is None:
            self.args = self.argparser.parse_args(args)
        return self.args

    def bench_func(self, name, func, *args, **kwargs):
        """Times ``func(*args)``."""
        inner_loops = kwargs.pop("inner_loops", None) or 1
        metadata = kwargs.pop("metadata", None)
        if kwargs:
            raise TypeError("unexpected arguments: %s" % ", ".join(sorted(kwargs)))
        if args:
            def call():
                return func(*args)
        else:
            call = func

        def timed(loops):
            repeat = range(loops)
            read = _own_clock()
            if loops == 1:
                begun = read()
                call()
                return read() - begun
            begun = read()
            for _ in repeat:
                call()
            return read() - begun
        return self._run(name, timed, inner_loops, metadata)

    def bench_time_func(self, name, time_func, *args, **kwargs):
        """``time_func(loops, *args)`` times itself with :data:`perf_counter` and returns the seconds."""
        inner_loops = kwargs.pop("inner_loops", None) or 1
        metadata = kwargs.pop("metadata", None)
        if kwargs:
            raise TypeError("unexpected arguments: %s" % ", ".join(sorted(kwargs)))
        return self._run(name, lambda loops: time_func(loops, *args), inner_loops, metadata)

    def bench_async_func(self, name, func, *args, **kwargs):
        """Times ``await func(*args)`` on an event loop of its own for each value. ``loop_factory`` makes the loop."""
        inner_loops = kwargs.pop("inner_loops", None) or 1
        metadata = kwargs.pop("metadata", None)
        factory = kwargs.pop("loop_factory", None)
        if kwargs:
            raise TypeError("unexpected arguments: %s" % ", ".join(sorted(kwargs)))
        import asyncio
        coroutine = _coroutine()

        def timed(loops):
            loop = (factory or asyncio.new_event_loop)()
            asyncio.set_event_loop(loop)
            try:
                return loop.run_until_complete(coroutine(_own_clock(), loops, func, args))
            finally:
                asyncio.set_event_loop(None)
                loop.close()
        return self._run(name, timed, inner_loops, metadata)

    def around_values(self, before=None, after=None):
        """Has ``before()`` called when the warm-ups are over and ``after(loops)`` when all values are taken, with how many
        loops they were together: the place to watch what only the measured iterations do, and to :meth:`report` it."""
        self._before, self._after = before, after

    def report(self, metric, value=None, reason=None):
        """One value per process of a metric that scripts may report; or why this runtime has none."""
        if value is None:
            self._worker.send("measure", metric=_text(metric), reason=_text(reason))
        else:
            self._worker.send("measure", metric=_text(metric), value=float(value))

    def bench_command(self, name, command, resting=None):
        """Times child processes: start, run, end.

        ``resting`` is a command that does the same, then writes the line ``resting`` and waits until its input ends. It is
        started once more, after the values, and the memory of the children is what it has while it waits."""
        command = list(command)
        # The children are the benchmark: the worker's module path must not lengthen their search for modules.
        environment = dict(os.environ)
        environment.pop("PYTHONPATH", None)

        def timed(loops):
            read = _own_clock()
            # Two of them: Jython does not open it for both at once.
            with open(os.devnull, "rb") as nothing, open(os.devnull, "wb") as null:
                begun = read()
                for _ in range(loops):
                    status = subprocess.call(command, stdin=nothing, stdout=null, stderr=null, close_fds=True,
                                             env=environment)
                    if status:
                        raise Exception("the command ended with status %d: %r" % (status, command))
                return read() - begun
        def memory():
            if resting is None:
                return _children_memory()
            self._rest(list(resting), environment)
            return {}
        return self._run(name, timed, 1, None, children=memory)

    def _rest(self, command, environment):
        """Has the worker read the memory of a child that has done its work and waits."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True, env=environment)
        try:
            said = process.stdout.readline().strip()
            if said != b"resting":
                raise Exception("the resting command said %r" % said)
            self._worker.ask("resting")
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()

    # -- One benchmark ------------------------------------------------------------------------------------

    def _run(self, name, timed, inner_loops, metadata, children=None):
        self.parse_args()
        if self._settings.get("select") not in (None, name):
            return
        self._benchmarks += 1
        if self._benchmarks > 1:
            self._worker.send("error", message="%s is a second benchmark: one process runs one" % _text(name))
            sys.exit(EXIT_USAGE)
        worker = self._worker
        worker.ask("start", protocol=PROTOCOL, pid=os.getpid(), clock=CLOCK_NAME, python={
            "implementation": python_implementation(),
            "version": "%d.%d.%d" % tuple(sys.version_info[:3]),
            "hexversion": sys.hexversion,
            "build": _text(" ".join(sys.version.split())),
        })
        index, loops = 0, max(int(self._settings["loops"]), 1)
        if self._settings["mode"] == "calibrate":
            index, loops = self._calibrate(timed, inner_loops, loops)
        everything = dict(self.metadata)
        everything.update(metadata or {})
        worker.send("benchmark", name=_text(name), loops=loops, inner_loops=inner_loops,
                    metadata=dict((_text(key), _text(value)) for key, value in everything.items()))
        self._iterate(timed, inner_loops, loops, index)
        worker.ask("end", **(children() if children else {}))

    def _value(self, timed, inner_loops, loops, index, warmup):
        counting = perf_counter if isinstance(perf_counter, _Counting) else None
        if counting:
            counting.active = True
        seconds = timed(loops)
        if counting:
            if counting.inside:
                counting()  # A script that read the clock an odd number of times leaves no counter running.
            counting.active = False
        self._worker.send("value", index=index, warmup=warmup, loops=loops, inner_loops=inner_loops, seconds=seconds)
        return seconds

    def _calibrate(self, timed, inner_loops, loops):
        """Doubles the loops until one iteration takes long enough; each try is a warm-up."""
        index = 0
        while True:
            seconds = self._value(timed, inner_loops, loops, index, True)
            index += 1
            if seconds >= CALIBRATE_SECONDS:
                return index, loops
            loops *= 2

    def _iterate(self, timed, inner_loops, loops, index):
        """Warms up until both the count and the seconds are reached, then takes the values."""
        settings = self._settings
        begun = _clock()
        warmed = 0
        while warmed < settings["warmups"] or _clock() - begun < settings["warmup_seconds"]:
            if _clock() - begun > settings["max_seconds"] and warmed:
                break
            self._value(timed, inner_loops, loops, index, True)
            warmed += 1
            index += 1
        if self._before is not None:
            self._before()
        taken = 0
        while taken < settings["values"]:
            if _clock() - begun > settings["max_seconds"] and taken:
                break
            self._value(timed, inner_loops, loops, index, False)
            taken += 1
            index += 1
        if self._after is not None:
            self._after(taken * loops)


def _children_memory():
    """The fields of ``end`` that say what the largest child took, or why it is not known."""
    try:
        import resource
        own, largest = [resource.getrusage(who).ru_maxrss * 1024
                        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    except Exception:
        return {"children_max_rss_reason": "this platform does not say what its children took"}
    # What starts a process counts as that process's until it runs its own program (exec): a smaller child cannot be seen.
    if largest > own:
        return {"children_max_rss_bytes": largest}
    return {"children_max_rss_reason": "the largest child was no larger than the process that started it, and the kernel "
                                       "counts that as the child's"}


def _text(value):
    """Any value as short text that JSON can carry."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return (u"%s" % (value,))[:LONGEST_TEXT]
