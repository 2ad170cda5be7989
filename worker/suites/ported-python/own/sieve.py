"""Primes below a hundred thousand, by the sieve of Eratosthenes."""
import pyperf

LIMIT = 100000


def sieve():
    composite = [False] * LIMIT
    count = 0
    for number in range(2, LIMIT):
        if composite[number]:
            continue
        count += 1
        for multiple in range(number * number, LIMIT, number):
            composite[multiple] = True
    return count


def work(loops):
    begun = pyperf.perf_counter()
    for _ in range(loops):
        count = sieve()
    seconds = pyperf.perf_counter() - begun
    assert count == 9592, count
    return seconds


pyperf.Runner().bench_time_func("sieve", work)
