"""Raising and catching exceptions: near, through several frames, with finally."""
import pyperf


class Refused(Exception):
    pass


def descend(depth):
    if depth == 0:
        raise Refused(depth)
    try:
        return descend(depth - 1)
    finally:
        depth += 1


def work():
    caught = 0
    table = {}
    for number in range(2000):
        try:
            table[number]
        except KeyError:
            caught += 1
        try:
            int("x%d" % number)
        except (TypeError, ValueError):
            caught += 1
        try:
            descend(5)
        except Refused as error:
            caught += 1 + error.args[0]
    if caught != 6000:
        raise AssertionError("wrong result: %r" % caught)


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Raising and catching exceptions"
    runner.bench_func("exceptions", work)
