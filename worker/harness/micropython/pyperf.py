"""Speedwell's harness for MicroPython: the protocol of pyperf.py in the folder above, in what MicroPython has.

MicroPython has no argparse, no subprocess, no descriptors of its own and a json without options, so that the other
file cannot run there. A suite's scripts get this module by ``MICROPYPATH``, and beside it what their ``import six``
and ``from __future__ import ...`` ask for. Modules of the standard library that MicroPython lacks stay missing: their
benchmarks are unavailable there. Coroutines and commands cannot be timed.
"""
import json
import os
import sys
import time

__version__ = "speedwell-2"

PROTOCOL = 1
EXIT_USAGE = 64         # a script defined no benchmark, or a second one
EXIT_WORKER_GONE = 75   # the control pipe ended
CALIBRATE_SECONDS = 0.1
LONGEST_TEXT = 500

#: The kernel's monotonic clock in microseconds; small integers of 64 bits do not wrap in a host's life.
CLOCK_NAME = "ticks_us"


def _clock():
    return time.ticks_us() / 1000000


#: Replaced in mode "counters", as in the other harness.
perf_counter = _clock


def python_implementation():
    return sys.implementation.name


def python_has_jit():
    return False


# -- The pipe to the worker -----------------------------------------------------------------------------

class _Worker:
    """Writes events and waits for their answers."""

    def __init__(self, settings):
        self._events = open("/proc/self/fd/%d" % settings["events_fd"], "wb", 0)
        self._control = None
        if settings.get("control_fd") is not None:
            self._control = open("/proc/self/fd/%d" % settings["control_fd"], "rb", 0)

    def send(self, event, **fields):
        fields["event"] = event
        self._events.write((_ascii(json.dumps(fields)) + "\n").encode())

    def ask(self, event, **fields):
        """Sends an event and waits until the worker has done its part."""
        self.send(event, **fields)
        if self._control is not None and self._answer() != b"ok":
            sys.exit(EXIT_WORKER_GONE)

    def _answer(self):
        # Byte by byte: a stream that reads ahead would wait for more than one line.
        line = b""
        while True:
            byte = self._control.read(1)
            if not byte or byte == b"\n":
                return line
            line += byte


class _Person:
    """Stands in for the worker when a script is run by hand."""

    def send(self, event, **fields):
        if event == "value":
            per_loop = fields["seconds"] / fields["loops"] / fields["inner_loops"]
            print("%s %2d: %.6g s" % ("warm-up" if fields["warmup"] else "value  ", fields["index"], per_loop))
        elif event == "benchmark":
            print("%s: %d loops" % (fields["name"], fields["loops"]))
        elif event == "error":
            print(fields["message"])

    ask = send


def _settings():
    text = os.getenv("SPEEDWELL_HARNESS")
    if text is None:
        return None
    os.unsetenv("SPEEDWELL_HARNESS")
    settings = json.loads(text)
    if settings.get("protocol") != PROTOCOL:
        print("the worker speaks harness protocol %r, this harness %d" % (settings.get("protocol"), PROTOCOL))
        sys.exit(1)
    return settings


class _Counting:
    """A clock that tells the worker when a timed region begins (odd readings) and ends (even ones)."""

    def __init__(self, worker):
        self.worker = worker
        self.active = False
        self.inside = False

    def __call__(self):
        if not self.active:
            return _clock()
        if self.inside:
            now = _clock()
            self.inside = False
            self.worker.ask("disable")
            return now
        self.inside = True
        self.worker.ask("enable")
        return _clock()


# -- The scripts' own arguments ---------------------------------------------------------------------------

class _Arguments:
    """The values, as attributes."""


class _Option:
    def __init__(self, names, type=str, default=None, action="store", choices=None, nargs=None, dest=None, help=None,
                 metavar=None):
        self.names = names
        self.type = type
        self.flag = action == "store_true"
        self.default = False if self.flag else default
        self.choices = choices
        self.needed = not names[0].startswith("-") and nargs != "?"
        longest = max(names, key=len)
        self.name = dest or longest.lstrip("-").replace("-", "_")

    def value(self, text):
        value = self.type(text)
        if self.choices is not None and value not in self.choices:
            raise ValueError("%s: %r is none of %r" % (self.name, value, sorted(self.choices)))
        return value


class ArgumentParser:
    """As much of ``argparse.ArgumentParser`` as the suites' scripts use."""

    def __init__(self):
        self._options = []

    def add_argument(self, *names, **settings):
        self._options.append(_Option(names, **settings))

    def parse_args(self, words=None):
        words = list(sys.argv[1:] if words is None else words)
        found = _Arguments()
        for option in self._options:
            setattr(found, option.name, option.default)
        plain = [option for option in self._options if not option.names[0].startswith("-")]
        while words:
            word = words.pop(0)
            if word.startswith("-"):
                word, _, given = word.partition("=")
                option = self._named(word)
                if option.flag:
                    setattr(found, option.name, True)
                    continue
                text = given or (words.pop(0) if words else "")
            elif plain:
                option, text = plain.pop(0), word
            else:
                raise ValueError("unexpected argument %r" % word)
            setattr(found, option.name, option.value(text))
        for option in plain:
            if option.needed:
                raise ValueError("the argument %s is missing" % option.name)
        return found

    def _named(self, word):
        for option in self._options:
            if word in option.names:
                return option
        raise ValueError("unknown option %r" % word)


# -- The interface of suites -------------------------------------------------------------------------------

class Runner:
    """As much of ``pyperf.Runner`` as MicroPython can offer."""

    def __init__(self, metadata=None, _argparser=None, **ignored):
        self.metadata = dict(metadata or {})
        self.argparser = _argparser or ArgumentParser()
        self.args = None
        self._benchmarks = 0
        settings = _settings()
        self._settings = settings or {
            "mode": "calibrate", "loops": 1, "warmups": 1, "warmup_seconds": 0.0, "values": 5, "max_seconds": 60.0,
        }
        self._worker = _Person() if settings is None else _Worker(settings)
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
        inner_loops, metadata = _keywords(kwargs)
        if args:
            def call():
                return func(*args)
        else:
            call = func

        def timed(loops):
            read = perf_counter
            begun = read()
            for _ in range(loops):
                call()
            return read() - begun
        return self._run(name, timed, inner_loops, metadata)

    def bench_time_func(self, name, time_func, *args, **kwargs):
        """``time_func(loops, *args)`` times itself with ``perf_counter`` and returns the seconds."""
        inner_loops, metadata = _keywords(kwargs)
        return self._run(name, lambda loops: time_func(loops, *args), inner_loops, metadata)

    def bench_async_func(self, name, func, *args, **kwargs):
        raise ImportError("MicroPython's asyncio has no loops that a benchmark could have for itself")

    def bench_command(self, name, command):
        raise ImportError("no module named 'subprocess'")

    # -- One benchmark ------------------------------------------------------------------------------------

    def _run(self, name, timed, inner_loops, metadata):
        self.parse_args()
        if self._settings.get("select") not in (None, name):
            return
        self._benchmarks += 1
        if self._benchmarks > 1:
            self._worker.send("error", message="%s is a second benchmark: one process runs one" % name)
            sys.exit(EXIT_USAGE)
        worker = self._worker
        worker.ask("start", protocol=PROTOCOL, pid=_pid(), clock=CLOCK_NAME, python={
            "implementation": python_implementation(),
            "version": "%d.%d.%d" % tuple(sys.version_info[:3]),
            "hexversion": 0,
            "build": " ".join(sys.version.split()),
        })
        index, loops = 0, max(int(self._settings["loops"]), 1)
        if self._settings["mode"] == "calibrate":
            index, loops = self._calibrate(timed, inner_loops, loops)
        everything = dict(self.metadata)
        everything.update(metadata or {})
        worker.send("benchmark", name=name, loops=loops, inner_loops=inner_loops,
                    metadata=dict((_text(key), _text(value)) for key, value in everything.items()))
        self._iterate(timed, inner_loops, loops, index)
        worker.ask("end", children_max_rss_bytes=None)

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
        taken = 0
        while taken < settings["values"]:
            if _clock() - begun > settings["max_seconds"] and taken:
                break
            self._value(timed, inner_loops, loops, index, False)
            taken += 1
            index += 1


def _keywords(kwargs):
    inner_loops = kwargs.pop("inner_loops", None) or 1
    metadata = kwargs.pop("metadata", None)
    if kwargs:
        raise TypeError("unexpected arguments: %s" % ", ".join(sorted(kwargs)))
    return inner_loops, metadata


def _pid():
    with open("/proc/self/stat") as file:
        return int(file.read().split()[0])


def _ascii(text):
    """JSON as the other harness writes it: what is not ASCII, escaped."""
    if len(text) == len(text.encode()):
        return text
    parts = []
    for letter in text:
        code = ord(letter)
        if code < 128:
            parts.append(letter)
        elif code < 0x10000:
            parts.append("\\u%04x" % code)
        else:
            code -= 0x10000
            parts.append("\\u%04x\\u%04x" % (0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff)))
    return "".join(parts)


def _text(value):
    """Any value as short text."""
    if isinstance(value, bytes):
        value = value.decode()
    return str(value)[:LONGEST_TEXT]
