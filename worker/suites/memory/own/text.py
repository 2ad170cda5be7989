"""Text of many pieces: formatted, joined, appended, cut and replaced."""
import pyperf

LINES = 4000


def work():
    lines = ["%06d: %s" % (number, "word " * (number % 7)) for number in range(LINES)]
    page = "\n".join(lines)
    grown = ""
    for line in lines[:LINES // 4]:
        grown += line[3:9]
    pieces = page.replace("word", "longer word").split("\n")
    expected = LINES * 8 + sum(number % 7 for number in range(LINES)) * 12
    if sum(map(len, pieces)) != expected or len(grown) > LINES // 4 * 6:
        raise AssertionError("wrong result: %r instead of %r" % (sum(map(len, pieces)), expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Text is formatted, joined, appended, cut and replaced"
    runner.bench_func("text", work)
