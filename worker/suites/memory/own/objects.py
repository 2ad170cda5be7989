"""Small objects that live for a moment: with a dictionary, with slots, as tuples."""
import pyperf

COUNT = 20000


class Free(object):
    def __init__(self, x, y):
        self.x = x
        self.y = y


class Slotted(object):
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


def work():
    total = 0
    for number in range(COUNT):
        free = Free(number, 1)
        slotted = Slotted(free.x, free.y)
        pair = (slotted.x, slotted.y)
        total += pair[0] + pair[1]
    expected = COUNT * (COUNT - 1) // 2 + COUNT
    if total != expected:
        raise AssertionError("wrong result: %r instead of %r" % (total, expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Small objects that live for a moment"
    runner.bench_func("objects", work)
