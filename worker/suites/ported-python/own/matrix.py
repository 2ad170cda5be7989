"""Product of two matrices of floats, by three plain loops."""
import pyperf

SIZE = 60


def matrix(seed):
    return [[float((row * seed + column * 7) % 11) for column in range(SIZE)] for row in range(SIZE)]


def multiply(left, right):
    product = []
    for row in left:
        line = []
        for column in range(SIZE):
            total = 0.0
            for index in range(SIZE):
                total += row[index] * right[index][column]
            line.append(total)
        product.append(line)
    return product


def work(loops):
    left, right = matrix(3), matrix(5)
    begun = pyperf.perf_counter()
    for _ in range(loops):
        product = multiply(left, right)
    seconds = pyperf.perf_counter() - begun
    assert sum(map(sum, product)) == EXPECTED, sum(map(sum, product))
    return seconds


EXPECTED = 5400175.0
pyperf.Runner().bench_time_func("matrix", work)
