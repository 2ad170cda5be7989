"""Importing standard library modules anew: finding, reading the compiled file, running the module's body."""
import sys

import pyperf

# Pure Python modules that exist from 2.7 to 3.15, with few others behind them.
MODULES = ["bisect", "calendar", "colorsys", "fnmatch", "gettext", "glob", "heapq", "pprint", "shlex", "textwrap"]
KEPT = None


def work():
    for name in list(sys.modules):
        if name not in KEPT:
            del sys.modules[name]
    for name in MODULES:
        __import__(name)
    if any(name not in sys.modules for name in MODULES):
        raise AssertionError("a module was not imported")


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Importing ten standard library modules anew"
    # What the harness and the modules' C parts need stays; only pure Python modules of the list are imported anew.
    KEPT = set(sys.modules) - set(MODULES)
    for name in MODULES:
        __import__(name)
    KEPT |= set(sys.modules) - set(MODULES)
    runner.bench_func("import_stdlib", work)
