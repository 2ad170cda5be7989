"""What single steps of an interpreter cost: micro.py NAME. The loop of each benchmark holds the same statement twenty times.

Each statement needs what the one before gave, so that no compiler can leave it out; each kernel is called some times before
anything is timed, since CPython 3.11 and later adapt a function's code only after some calls or turns of its loops.
"""
import pyperf

STATEMENTS = 20
HEAD = """
def kernel(loops, read=read):
    %s
    turns = range(loops)
    begun = read()
    for _ in turns:
        %s
    seconds = read() - begun
    check(%s)
    return seconds
"""


class Point(object):
    def __init__(self):
        self.next = self


def same(value):
    return value


def check_is(wanted):
    def check(value):
        if not wanted(value):
            raise AssertionError("wrong result: %r" % (value,))
    return check


#: Name: what is prepared, the statement, what the result must be.
KERNELS = {
    "assign": ("x, z = 1, 0", "z = x", lambda z: z == 1),
    "integer_add": ("x, z = 1, 1000", "z = z + x", lambda z: (z - 1000) % STATEMENTS == 0),
    "float_add": ("x, z = 0.5, 1000.0", "z = z + x", lambda z: (z - 1000.0) % (STATEMENTS / 2) == 0),
    "attribute_load": ("z = Point()", "z = z.next", lambda z: isinstance(z, Point)),
    "function_call": ("z, f = 7, same", "z = f(z)", lambda z: z == 7),
    "list_index": ("a, z = [1, 2, 3, 0], 0", "z = a[z]", lambda z: z == 0),
    "dictionary_get": ("a, z = {'a': 'b', 'b': 'c', 'c': 'd', 'd': 'a'}, 'a'", "z = a[z]", lambda z: z == "a"),
    "string_concatenate": ("x, y, z = 'speed', 'well', ''", "z = x + y; x = z[:5]", lambda z: z == "speedwell"),
    "string_slice": ("x, y, z = 'speed', 'well', ''", "z = 'speedwell'; x = z[:5]", lambda z: z == "speedwell"),
}


def make(name):
    """The kernel of a benchmark. Its code is made from text, so that all have the same shape."""
    if name == "loop_step":
        prepared, body, wanted = "z = 0", "pass", lambda z: z == 0
    else:
        prepared, statement, wanted = KERNELS[name]
        body = "; ".join([statement] * STATEMENTS)
    names = {"read": lambda: pyperf.perf_counter(), "check": check_is(wanted), "Point": Point, "same": same}
    exec(HEAD % (prepared, body, "z"), names)
    return names["kernel"]


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.argparser.add_argument("name", choices=sorted(KERNELS) + ["loop_step"])
    name = runner.parse_args().name
    kernel = make(name)
    for _ in range(100):
        kernel(10)
    runner.bench_time_func(name, kernel, inner_loops=1 if name == "loop_step" else STATEMENTS)
