"""One large dictionary from nothing: every growth moves all that is in it."""
import pyperf

COUNT = 100000


def work():
    table = {}
    for number in range(COUNT):
        table[number * 7919 % 1000003] = number
    if len(table) != COUNT or table[7919] != 1:
        raise AssertionError("wrong result: %r entries" % len(table))
    total = 0
    for number in range(0, COUNT, 2):
        total += table.pop(number * 7919 % 1000003)
    expected = COUNT // 2 * (COUNT // 2 - 1)
    if len(table) != COUNT // 2 or total != expected:
        raise AssertionError("wrong result: %r instead of %r" % (total, expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "A dictionary of 100,000 entries grows and is emptied by half"
    runner.bench_func("dict_growth", work)
