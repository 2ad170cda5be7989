"""A binary tree of objects: built by inserting pseudo-random numbers, then walked."""
import pyperf

COUNT = 5000


class Node(object):
    def __init__(self, value):
        self.value = value
        self.left = None
        self.right = None


def insert(root, value):
    node = root
    while True:
        if value < node.value:
            if node.left is None:
                node.left = Node(value)
                return
            node = node.left
        else:
            if node.right is None:
                node.right = Node(value)
                return
            node = node.right


def depth(node):
    if node is None:
        return 0
    left, right = depth(node.left), depth(node.right)
    return 1 + (left if left > right else right)


def build():
    number = 12345
    root = Node(number)
    for _ in range(COUNT):
        number = (number * 16807) % 2147483647
        insert(root, number)
    return depth(root)


def work(loops):
    begun = pyperf.perf_counter()
    for _ in range(loops):
        found = build()
    seconds = pyperf.perf_counter() - begun
    assert found == EXPECTED, found
    return seconds


EXPECTED = 29
pyperf.Runner().bench_time_func("tree", work)
