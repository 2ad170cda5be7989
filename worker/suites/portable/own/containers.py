"""List, dict, set and tuple work: building, indexing, slicing, sorting, counting."""
import pyperf


def work():
    state = 12345
    items = []
    for _ in range(5000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        items.append(state >> 8)
    counts = {}
    for item in items:
        key = item % 257
        counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    unique = set(items) | set(item + 1 for item in items[::2])
    pairs = list(zip(items[:-1], items[1:]))
    rising = [high - low for low, high in pairs if high > low]
    rest = items[:]
    while len(rest) > 4000:
        rest.pop()
        rest.insert(0, rest[len(rest) // 2])
        del rest[1:3]
    checksum = (sum(rising) + sum(rest) + len(unique) + ordered[0][0] * ordered[-1][1]) & 0xFFFFFFFF
    if checksum != CHECKSUM:
        raise AssertionError("wrong result: %r" % checksum)


CHECKSUM = 2482406548

if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "List, dict, set and tuple work"
    runner.bench_func("containers", work)
