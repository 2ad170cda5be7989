"""Bytes: a buffer that grows by small pieces, blocks from 64 bytes to 1 MiB, copies and slices of them."""
import pyperf

PIECES = 20000
ROUNDS = 4


def work():
    buffer = bytearray()
    for number in range(PIECES):
        buffer += b"0123456789abcdef"
    total = len(bytes(buffer))
    for _ in range(ROUNDS):
        size = 64
        while size <= 1 << 20:
            block = bytearray(size)
            block[::64] = b"x" * (size // 64)
            total += bytes(block[size // 2:]).count(b"x")
            size *= 2
    expected = PIECES * 16 + ROUNDS * sum((1 << power) // 2 for power in range(15))
    if total != expected:
        raise AssertionError("wrong result: %r instead of %r" % (total, expected))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Bytes in a growing buffer, in blocks and in slices"
    runner.bench_func("buffers", work)
