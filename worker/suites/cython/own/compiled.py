"""Runs a benchmark that Cython compiled, as its script would have run: compiled.py SCRIPT [ARGUMENT ...]"""
import importlib
import sys

if __name__ == "__main__":
    name = sys.argv.pop(1)
    module = importlib.import_module("compiled_" + name)
    if not module.__file__.endswith((".so", ".pyd")):
        sys.exit("%s is not compiled: it is %s" % (name, module.__file__))
    module.run_as_program()
