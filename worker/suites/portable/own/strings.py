"""String building: joining, formatting, splitting, replacing, encoding."""
import pyperf


def work():
    words = ["word%d" % number for number in range(1500)]
    text = " ".join(words)
    text = text.replace("word1", "verb1").upper().lower()
    parts = text.split()
    found = sum(part.startswith("verb") for part in parts)
    lines = ["{0:>8}|{1:<8}".format(part, len(part)) for part in parts]
    built = ""
    for line in lines[:500]:
        built += line
    data = "\n".join(lines).encode("utf-8").decode("utf-8")
    result = (found, len(data), len(built), data.count("|"))
    if result != (611, 26999, 8500, 1500):
        raise AssertionError("wrong result: %r" % (result,))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "String building, formatting, splitting, encoding"
    runner.bench_func("strings", work)
