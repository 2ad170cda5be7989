"""A long list of integers, each an object of its own where an interpreter has no other way to keep them."""
import pyperf

COUNT = 200000
OFFSET = 1000000


def work():
    numbers = []
    for number in range(COUNT):
        numbers.append(number + OFFSET)
    numbers = [number * 3 for number in numbers if number & 1]
    expected = 3 * (COUNT // 2 * OFFSET + (COUNT // 2) ** 2)
    if sum(numbers) != expected:
        raise AssertionError("wrong result: %r instead of %r" % (sum(numbers), expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "A list of 200,000 integers, and another of half of them"
    runner.bench_func("integers", work)
