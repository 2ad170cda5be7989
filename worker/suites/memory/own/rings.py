"""Doubly linked rings: cyclic garbage that only a collector can free, found by its own schedule."""
import pyperf

import collector

RINGS = 400
SIZE = 25


class Link(object):
    __slots__ = ("value", "before", "behind")

    def __init__(self, value):
        self.value = value
        self.before = self
        self.behind = self


def ring(first):
    head = Link(first)
    for value in range(first + 1, first + SIZE):
        link = Link(value)
        link.before, link.behind = head.before, head
        head.before.behind = link
        head.before = link
    return head


def work():
    total = 0
    for number in range(RINGS):
        head = ring(number)
        link = head.behind
        while link is not head:
            total += link.value
            link = link.behind
    # The sum of 1 to SIZE - 1, and of each ring's number as often as it has links beside the head.
    expected = RINGS * (SIZE - 1) * SIZE // 2 + (SIZE - 1) * RINGS * (RINGS - 1) // 2
    if total != expected:
        raise AssertionError("wrong result: %r instead of %r" % (total, expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Doubly linked rings that are dropped whole"
    collector.watch(runner)
    runner.bench_func("rings", work)
