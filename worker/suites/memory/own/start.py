"""An interpreter starts, imports a module if one is named, and ends. Its memory is that of one more child that has come
as far and waits."""
import os
import subprocess
import sys

import pyperf

REST = "import sys; sys.stdout.write('resting\\n'); sys.stdout.flush(); sys.stdin.read()"
#: Modules that Python 3 calls by another name.
OLDER = {"http.client": "httplib"}


def refuse_what_is_missing(command):
    """A module that this runtime has not is not applicable, with the runtime's own words."""
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    words = process.communicate()[0].decode("utf-8", "replace").strip().splitlines()
    if process.returncode and words and words[-1].split(":")[0] in ("ImportError", "ModuleNotFoundError"):
        raise ImportError(words[-1].partition(": ")[2])
    if process.returncode or words:
        raise AssertionError("%r ended with status %d and said %r" % (command, process.returncode, words))


def main():
    runner = pyperf.Runner()
    runner.argparser.add_argument("--import", dest="module")
    runner.argparser.add_argument("--options", default="", help="options of the interpreter, with commas between them")
    arguments = runner.parse_args()
    statement = "pass"
    if arguments.module:
        name = arguments.module
        statement = "import " + (OLDER.get(name, name) if sys.version_info < (3,) else name)
    command = [sys.executable] + ["-" + letter for letter in arguments.options.split(",") if letter] + ["-c"]
    refuse_what_is_missing(command + [statement])
    runner.bench_command("start", command + [statement], resting=command + [statement + "\n" + REST])


if __name__ == "__main__":
    main()
