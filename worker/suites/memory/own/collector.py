"""Watches the garbage collector over the measured iterations of a benchmark, and reports what the interpreter says of it.

A pause is one stop of the program by the collector. CPython 3 tells of each by ``gc.callbacks``, PyPy by ``gc.hooks``
(a minor collection and the steps of a major one that follow it at once are one stop there). CPython 2.7 and Jython tell
nothing: their pauses are reported as missing, with the reason.
"""
import gc
from array import array

import pyperf

PAUSES = [("gc_pause_p50", 0.5), ("gc_pause_p99", 0.99), ("gc_pause_max", 1.0)]


def select(values, rank):
    """The value that would stand at ``rank`` if the array were sorted. It is reordered in place: a sorted copy would be a
    part of the memory that is measured right after."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if rank <= right:
            high = right
        elif rank >= left:
            low = left
        else:
            break
    return values[rank]


def quantile(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    rank = int(-(-share * len(values) // 1)) - 1
    return select(values, min(max(rank, 0), len(values) - 1))


class Silent(object):
    """A runtime whose collector tells nothing."""

    pauses = None
    reason = "this interpreter does not tell of its collector's pauses: it has neither gc.callbacks nor gc.hooks"

    def begin(self):
        pass

    end = begin


class Callbacks(object):
    """CPython 3: a call before and after each collection, of any generation."""

    def __init__(self):
        self.pauses = array("d")
        self._begun = None

    def begin(self):
        self._begun = None
        gc.callbacks.append(self._hear)

    def end(self):
        gc.callbacks.remove(self._hear)

    def _hear(self, phase, info):
        if phase == "start":
            self._begun = pyperf.clock()
        elif self._begun is not None:
            self.pauses.append(pyperf.clock() - self._begun)
            self._begun = None


class Hooks(object):
    """PyPy: a call some moments after each stop, first for its minor collections, then for its steps of a major one."""

    def __init__(self):
        self.pauses = array("d")

    def begin(self):
        gc.hooks.on_gc_minor = self._minor
        gc.hooks.on_gc_collect_step = self._step

    def end(self):
        gc.hooks.reset()

    def _minor(self, stats):
        self.pauses.append(stats.duration)

    def _step(self, stats):
        if self.pauses:
            self.pauses[-1] += stats.duration


def find():
    if hasattr(gc, "hooks"):
        return Hooks()
    if hasattr(gc, "callbacks"):
        return Callbacks()
    return Silent()


def watch(runner, before=None, after=None):
    """Reports the collector's pauses over the measured iterations of ``runner``'s benchmark. ``before()`` and ``after()``
    are called around them too."""
    watcher = find()
    begun = [0.0]

    def begin():
        if before is not None:
            before()
        watcher.begin()
        begun[0] = pyperf.clock()

    def end(loops):
        seconds = pyperf.clock() - begun[0]
        watcher.end()
        report(runner, watcher, seconds, loops)
        if after is not None:
            after()

    runner.around_values(begin, end)


def report(runner, watcher, seconds, loops):
    pauses = watcher.pauses
    if pauses is None:
        for metric in [name for name, _ in PAUSES] + ["gc_time_share", "gc_collections"]:
            runner.report(metric, reason=watcher.reason)
        return
    runner.report("gc_collections", len(pauses) / float(loops))
    runner.report("gc_time_share", sum(pauses) / seconds)
    for metric, share in PAUSES:
        if not pauses:
            runner.report(metric, reason="the collector did not stop the program in the measured iterations")
        else:
            # A stop that is shorter than the interpreter's clock can tell took no more than one tick of it.
            runner.report(metric, max(quantile(pauses, share), 1e-9))
