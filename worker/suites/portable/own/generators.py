"""Generators: pipelines, generator expressions, send()."""
import pyperf


def numbers(limit):
    number = 0
    while number < limit:
        yield number
        number += 1


def odd(source):
    for number in source:
        if number & 1:
            yield number


def averager():
    total = count = 0
    while True:
        value = yield total // (count or 1)
        total += value
        count += 1


def work():
    total = sum(number * 2 for number in odd(numbers(10000)))
    mean = averager()
    next(mean)
    last = 0
    for number in numbers(5000):
        last = mean.send(number)
    if (total, last) != (50000000, 2499):
        raise AssertionError("wrong result: %r" % ((total, last),))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Generator pipelines, expressions and send()"
    runner.bench_func("generators", work)
