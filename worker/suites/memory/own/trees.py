"""Binary trees whose nodes know their parents: built, walked and dropped beside one that lives on."""
import pyperf

import collector

DEPTH = 10
TREES = 8
LASTING = 14


class Node(object):
    __slots__ = ("parent", "left", "right")

    def __init__(self, parent):
        self.parent = parent
        self.left = None
        self.right = None


def grow(parent, depth):
    node = Node(parent)
    if depth:
        node.left = grow(node, depth - 1)
        node.right = grow(node, depth - 1)
    return node


def count(node):
    if node.left is None:
        return 1
    if node.left.parent is not node or node.right.parent is not node:
        raise AssertionError("a node lost its parent")
    return 1 + count(node.left) + count(node.right)


def work():
    found = sum(count(grow(None, DEPTH)) for _ in range(TREES))
    expected = TREES * (2 ** (DEPTH + 1) - 1)
    if found != expected:
        raise AssertionError("wrong result: %r instead of %r" % (found, expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Binary trees with cycles beside a lasting one"
    lasting = grow(None, LASTING)
    collector.watch(runner)
    runner.bench_func("trees", work)
    if count(lasting) != 2 ** (LASTING + 1) - 1:
        raise AssertionError("the lasting tree has changed")
