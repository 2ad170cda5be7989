"""One numeric kernel on one library and a number of threads: ``kernel.py dgemm mkl 2``.

A kernel prepares its data, and gives what is timed and what makes sure of its result. The result of each value is
checked after its clock has stopped, so that a library that is fast and wrong has no number.
"""
import math
import sys

import pyperf

from direct import SparseMatrix, elementwise
from library import Library


def must(near, what):
    if not near:
        sys.exit("the result is wrong: %s" % what)


# -- Linear algebra: numpy over OpenBLAS, and over MKL ---------------------------------------------------

def dgemm(numpy, library, random):
    left, right, vector = random.random((1000, 1000)), random.random((1000, 1000)), random.random(1000)
    expected = (left * (right * vector).sum(axis=1)).sum(axis=1)

    def check(product):
        must(numpy.allclose((product * vector).sum(axis=1), expected, rtol=1e-10), "the product of matrices")
    return lambda: left @ right, check


def gemv(numpy, library, random):
    matrix, vector = random.random((2000, 2000)), random.random(2000)
    expected = (matrix * vector).sum(axis=1)

    def check(product):
        must(numpy.allclose(product, expected, rtol=1e-11), "the product with a vector")
    return lambda: matrix @ vector, check


def dot(numpy, library, random):
    left, right = random.random(1000000), random.random(1000000)
    expected = math.fsum((left * right).tolist())

    def check(product):
        must(math.isclose(product, expected, rel_tol=1e-11), "the product of vectors")
    return lambda: left @ right, check


def solve(numpy, library, random):
    matrix, right = random.random((1000, 1000)) + 10.0 * numpy.eye(1000), random.random(1000)

    def check(solution):
        must(numpy.allclose((matrix * solution).sum(axis=1), right, atol=1e-8), "the solution of equations")
    return lambda: numpy.linalg.solve(matrix, right), check


def eigh(numpy, library, random):
    half = random.random((400, 400))
    matrix = half + half.T

    def check(result):
        values, vectors = result
        must(math.isclose(values.sum(), numpy.trace(matrix), rel_tol=1e-9), "the sum of eigenvalues")
        must(numpy.allclose(matrix @ vectors, vectors * values, atol=1e-9), "the eigenvectors")
        must(numpy.allclose(vectors.T @ vectors, numpy.eye(400), atol=1e-10), "the lengths of eigenvectors")
    return lambda: numpy.linalg.eigh(matrix), check


def svd(numpy, library, random):
    matrix = random.random((400, 300))

    def check(result):
        left, values, right = result
        must(numpy.allclose((left * values) @ right, matrix, atol=1e-10), "the singular values")
        must(bool((values[:-1] >= values[1:]).all()), "the order of singular values")
    return lambda: numpy.linalg.svd(matrix, full_matrices=False), check


def small_dgemm(numpy, library, random):
    """A thousand products of 8 x 8: what a call costs."""
    left, right = random.integers(0, 9, (8, 8)).astype(float), random.integers(0, 9, (8, 8)).astype(float)
    expected = [[sum(a * b for a, b in zip(row, column)) for column in right.T.tolist()] for row in left.tolist()]

    def call():
        for _ in range(1000):
            product = left @ right
        return product

    def check(product):
        must(product.tolist() == expected, "the product of small matrices")
    return call, check


# -- numpy's own code, and MKL's -------------------------------------------------------------------------

def small_add(numpy, library, random):
    """A thousand sums of 100 x 100: the interpreter, numpy's dispatch, little arithmetic."""
    left, right = numpy.arange(10000.0).reshape(100, 100), numpy.full((100, 100), 0.5)

    def call():
        for _ in range(1000):
            total = left + right
        return total

    def check(total):
        must(total.sum() == 10000 * 9999 / 2 + 5000, "the sum of small arrays")
    return call, check


def fourier(library):
    if library.mkl is None:
        from numpy import fft
    else:
        from mkl_fft.interfaces import numpy_fft as fft
    return fft


def fft_1d(numpy, library, random):
    size = 2 ** 20
    signal = random.random(size) + 1j * random.random(size)
    transform = fourier(library).fft
    steps = numpy.arange(size)
    # By the definition, at a few frequencies.
    waves = {k: (signal * numpy.exp(-2j * math.pi / size * (steps * k % size))).sum() for k in (0, 1, 77777, size - 1)}

    def check(spectrum):
        must(all(abs(spectrum[k] - wave) < 1e-6 for k, wave in waves.items()), "the Fourier transform")
    return lambda: transform(signal), check


def fft_2d(numpy, library, random):
    size = 1024
    image = random.random((size, size))
    transform = fourier(library).fft2
    steps = numpy.arange(size)
    waves = {}
    for row, column in ((0, 0), (1, 2), (500, 1000), (1023, 3)):
        phase = numpy.add.outer(steps * row, steps * column) % size
        waves[row, column] = (image * numpy.exp(-2j * math.pi / size * phase)).sum()

    def check(spectrum):
        must(all(abs(spectrum[at] - wave) < 1e-6 for at, wave in waves.items()), "the Fourier transform of a plane")
    return lambda: transform(image), check


def over_elements(numpy, library, random, name, exact):
    array = random.uniform(-10.0, 10.0, 1000000)
    function = getattr(numpy, name)
    if library.mkl is not None:
        function = elementwise(library.mkl, "vd" + name.capitalize(), numpy)
    some = range(0, 1000000, 997)
    expected = [exact(float(array[index])) for index in some]

    def check(result):
        near = all(math.isclose(result[index], value, rel_tol=1e-14) for index, value in zip(some, expected))
        must(near and len(result) == len(array), name + " of an array")
    return lambda: function(array), check


def exp(numpy, library, random):
    return over_elements(numpy, library, random, "exp", math.exp)


def sin(numpy, library, random):
    return over_elements(numpy, library, random, "sin", math.sin)


def normal(numpy, library, random):
    """Normally distributed numbers: numpy's PCG64 and ziggurat, MKL's SFMT and inverse function."""
    size = 1000000
    draw = random.standard_normal
    if library.mkl is not None:
        from mkl_random import MKLRandomState
        draw = MKLRandomState(1, brng="SFMT19937").standard_normal

    def check(numbers):
        # Five standard errors of mean, variance and fourth moment.
        bound = 5.0 / math.sqrt(size)
        must(len(numbers) == size and abs(numbers.mean()) < bound, "the mean of random numbers")
        must(abs((numbers ** 2).mean() - 1.0) < bound * math.sqrt(2.0), "the variance of random numbers")
        must(abs((numbers ** 4).mean() - 3.0) < bound * math.sqrt(96.0), "the fourth moment of random numbers")
        for apart in (1, size // 2):
            product = numbers[:-apart] * numbers[apart:]
            must(abs(product.mean()) < 5.0 / math.sqrt(len(product)), "the independence of random numbers")
    return lambda: draw(size), check


def spmv(numpy, library, random):
    """The five-point Laplace operator on a square grid times a vector: scipy's CSR matrix, MKL's."""
    side = 700
    rows = numpy.arange(side * side, dtype=numpy.int32)
    line, place = rows // side, rows % side
    # In ascending order of columns; what would be over the edge is left out.
    there = numpy.stack([line > 0, place > 0, line >= 0, place < side - 1, line < side - 1], axis=1)
    columns = (rows[:, None] + numpy.array([-side, -1, 0, 1, side], dtype=numpy.int32))[there]
    values = numpy.broadcast_to(numpy.array([-1.0, -1.0, 4.0, -1.0, -1.0]), there.shape)[there]
    starts = numpy.concatenate([[0], numpy.cumsum(there.sum(axis=1))]).astype(numpy.int32)
    grid = random.random((side, side))
    vector = grid.reshape(-1)
    expected = 4.0 * grid
    expected[1:] -= grid[:-1]
    expected[:-1] -= grid[1:]
    expected[:, 1:] -= grid[:, :-1]
    expected[:, :-1] -= grid[:, 1:]
    expected = expected.reshape(-1)
    if library.mkl is None:
        from scipy.sparse import csr_array
        matrix = csr_array((values, columns, starts), shape=(side * side, side * side))
    else:
        matrix = SparseMatrix(library.mkl, numpy, starts, columns, values)

    def check(product):
        must(numpy.allclose(product, expected, atol=1e-12), "the product of a sparse matrix")
    return lambda: matrix @ vector, check


KERNELS = {function.__name__: function for function in (
    dgemm, gemv, dot, solve, eigh, svd, small_dgemm, small_add, fft_1d, fft_2d, exp, sin, normal, spmv)}


def measure(loops, call, check):
    repeat = range(loops)
    begun = pyperf.perf_counter()
    for _ in repeat:
        result = call()
    seconds = pyperf.perf_counter() - begun
    check(result)
    return seconds


def main():
    runner = pyperf.Runner()
    runner.argparser.add_argument("kernel", choices=sorted(KERNELS))
    runner.argparser.add_argument("library", choices=["mkl", "numpy", "openblas", "scipy"])
    runner.argparser.add_argument("threads", type=int)
    wanted = runner.parse_args()
    library = Library(wanted.library, wanted.threads)
    import numpy
    call, check = KERNELS[wanted.kernel](numpy, library, numpy.random.default_rng(1))
    # Once before: a library loads what it needs for this processor when it is first called.
    check(call())
    runner.metadata.update(library.facts(), numpy_version=numpy.__version__)
    runner.bench_time_func("%s_%s_%d" % (wanted.kernel, wanted.library, wanted.threads), measure, call, check)


if __name__ == "__main__":
    main()
