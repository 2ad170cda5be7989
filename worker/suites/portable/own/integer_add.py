"""`int + int` in a dependent chain: how much one addition costs.

Ten additions an iteration, each needing the one before, so that a compiler cannot drop them. The kernel is called
often before it is timed: CPython 3.11 and later specialise a function only after several calls.
"""
import pyperf

COUNT = 20000


def chain(count):
    z = 0
    x = 3
    for _ in range(count):
        z = z + x
        z = z + x
        z = z + x
        z = z + x
        z = z + x
        z = z + x
        z = z + x
        z = z + x
        z = z + x
        z = z + x
    return z


def work():
    if chain(COUNT) != 30 * COUNT:
        raise AssertionError("wrong result")


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Two hundred thousand dependent integer additions"
    for _ in range(20):
        chain(10)
    runner.bench_func("integer_add", work)
