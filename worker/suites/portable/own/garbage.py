"""Garbage collection: cyclic garbage that only the collector can free, beside live data that it must walk."""
import gc

import pyperf


class Node(object):
    def __init__(self, value):
        self.value = value
        self.left = None
        self.right = None


def ring(size):
    nodes = [Node(number) for number in range(size)]
    for index, node in enumerate(nodes):
        node.left = nodes[index - 1]
        node.right = nodes[(index + 1) % size]
    return nodes[0]


LIVE = [ring(50) for _ in range(200)]


def work():
    total = 0
    for _ in range(400):
        total += ring(20).right.value
    gc.collect()
    if total != 400:
        raise AssertionError("wrong result: %r" % total)


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Cyclic garbage and collections beside live data"
    runner.bench_func("garbage", work)
