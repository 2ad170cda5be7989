"""Compiles benchmarks with Cython for the interpreter that runs this: compile.py TARGET NAME=FOLDER ...

Their code is the script's own, unchanged but for one thing: an extension module is never `__main__`, so the block that a
script runs as a program becomes a function, `run_as_program`. C compiler and flags are the interpreter's own, and the
optimisation is fixed.
"""
from __future__ import print_function

import ast
import io
import os
import shlex
import subprocess
import sys
import sysconfig

from Cython.Compiler.Main import CompilationOptions, compile as translate

# What is compiled: the source of the script and its name.
SCRIPTS = [
    ("pyperformance", "bm_chaos.py"),
    ("pyperformance", "bm_deltablue.py"),
    ("pyperformance", "bm_fannkuch.py"),
    ("pyperformance", "bm_float.py"),
    ("pyperformance", "bm_go.py"),
    ("pyperformance", "bm_hexiom.py"),
    ("pyperformance", "bm_nbody.py"),
    ("pyperformance", "bm_nqueens.py"),
    ("pyperformance", "bm_raytrace.py"),
    ("pyperformance", "bm_richards.py"),
    ("pyperformance", "bm_spectral_norm.py"),
]
OPTIMISATION = ["-O2", "-fwrapv", "-DNDEBUG"]


def is_program_block(node):
    """`if __name__ == ...:` at the outermost level."""
    test = getattr(node, "test", None)
    return isinstance(node, ast.If) and isinstance(test, ast.Compare) and getattr(test.left, "id", "") == "__name__"


def assigned(nodes):
    """Names that statements bind: they were the module's and stay the module's."""
    names = set()
    for statement in nodes:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return sorted(names)


def as_module(text):
    """The script's text with its program block as the function `run_as_program`."""
    blocks = [node for node in ast.parse(text).body if is_program_block(node)]
    if len(blocks) != 1:
        raise SystemExit("a script should have one block that is run as a program, this one has %d" % len(blocks))
    block = blocks[0]
    lines = text.splitlines()
    head = "def run_as_program():"
    names = assigned(block.body)
    if names:
        head += "\n    global " + ", ".join(names)
    lines[block.lineno - 1] = head
    return "\n".join(lines) + "\n"


def include_folder():
    folder = sysconfig.get_paths()["include"]
    if not os.path.exists(os.path.join(folder, "Python.h")):
        raise SystemExit("this interpreter has no headers in %s: they are needed to compile for it" % folder)
    return folder


def compile_script(path, target):
    name = os.path.splitext(os.path.basename(path))[0]
    module = "compiled_" + name
    source = os.path.join(target, module + ".py")
    with io.open(path, encoding="utf-8") as script:
        text = script.read()
    # Python 2 refuses to parse text that declares an encoding.
    lines = [line for line in text.splitlines() if not (line.startswith("#") and "coding" in line)]
    with io.open(source, "w", encoding="utf-8") as out:
        out.write(u"# coding: utf-8\n" + as_module(str("\n".join(lines))))
    level = "2" if sys.version_info[0] == 2 else "3"
    result = translate([source], CompilationOptions(language_level=level))
    if result.num_errors:
        raise SystemExit("Cython cannot translate %s" % path)
    suffix = sysconfig.get_config_var("EXT_SUFFIX") or sysconfig.get_config_var("SO") or ".so"
    compiler = shlex.split(os.environ.get("CC", "gcc"))
    command = compiler + ["-shared", "-fPIC"] + OPTIMISATION + [
        "-I", include_folder(), os.path.join(target, module + ".c"), "-o", os.path.join(target, module + suffix)]
    print("compile", name)
    subprocess.check_call(command)
    # Only the extension may be found by its name.
    os.remove(source)
    os.remove(os.path.join(target, module + ".c"))


def main():
    target = sys.argv[1]
    sources = dict(word.split("=", 1) for word in sys.argv[2:])
    for source, script in SCRIPTS:
        compile_script(os.path.join(sources[source], script), target)


if __name__ == "__main__":
    main()
