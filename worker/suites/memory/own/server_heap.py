"""A server's heap in a steady state: many sessions live, each request replaces one and leaves cyclic garbage behind.

One request is one allocation step of a fixed size. The times from each step to the next are kept whole and reported as
percentiles: whoever delays a step (collector, allocator, compiler, kernel) is in them, on every runtime in the same way.
"""
from array import array

import pyperf

import collector

STEPS = 10000
#: Percentiles are over as many of the last steps on every runtime, whatever its plan is: the longest of more is longer.
KEPT = 5 * STEPS
FIELDS = ("user", "role", "language", "zone", "theme", "cart")


class Session(object):
    def __init__(self, number):
        self.number = number
        self.values = dict((field, "%s-%d" % (field, number)) for field in FIELDS)
        self.history = [(number, index) for index in range(8)]


class Request(object):
    def __init__(self, session, body):
        self.session = session
        self.body = body
        self.answer = Answer(self)


class Answer(object):
    def __init__(self, request):
        self.request = request      # A cycle: only the collector of an interpreter that counts references finds it.
        self.lines = [part.upper() for part in request.body.split(",")]


class Server(object):
    def __init__(self, count):
        self.sessions = [Session(number) for number in range(count)]
        self.state = 12345
        self.gaps = array("d", [0.0]) * KEPT
        self.taken = 0

    def begin(self):
        self.taken = 0

    def work(self):
        """``STEPS`` requests, in the same order in every runtime."""
        sessions, gaps, read = self.sessions, self.gaps, pyperf.clock
        count, state, total, place = len(sessions), self.state, 0, self.taken % KEPT
        last = read()
        for _ in range(STEPS):
            state = (state * 1103515245 + 12345) % 2147483648
            index = state // 1024 % count
            request = Request(sessions[index], "a,b,c,%d" % index)
            sessions[index] = Session(index)
            total += len(request.answer.lines) + request.session.number - int(request.answer.lines[3])
            now = read()
            gaps[place] = now - last
            last = now
            place += 1
        self.state = state
        self.taken += STEPS
        if total != STEPS * 4:
            raise AssertionError("wrong result: %r" % total)


def report(runner, server):
    gaps = server.gaps
    del gaps[server.taken:]     # A run by hand takes fewer steps than are kept.
    for metric, share in [("step_p50", 0.5), ("step_p99", 0.99), ("step_p999", 0.999), ("step_max", 1.0)]:
        runner.report(metric, collector.quantile(gaps, share))


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.argparser.add_argument("sessions", type=int)
    server = Server(runner.parse_args().sessions)
    runner.metadata["description"] = "Requests against a heap of live sessions"
    collector.watch(runner, server.begin, lambda: report(runner, server))
    runner.bench_func("server_heap", server.work)
