"""Much is allocated and nearly all of it freed: how much memory the few that live on keep the process from giving back.

The peak memory is that of all records, the steady memory that after the last of them was freed."""
import pyperf

COUNT = 60000
EVERY = 100
KEPT = []


def work():
    del KEPT[:]
    records = [{"number": number, "name": "record %d" % number, "marks": [number, number + 0.5]}
               for number in range(COUNT)]
    KEPT.extend(records[::EVERY])
    del records
    total = sum(record["marks"][0] + len(record["name"]) for record in KEPT)
    lasting = range(0, COUNT, EVERY)
    expected = sum(lasting) + sum(len("record %d" % number) for number in lasting)
    if total != expected:
        raise AssertionError("wrong result: %r instead of %r" % (total, expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "60,000 records are made, and one in a hundred lives on"
    runner.bench_func("fragments", work)
