"""Runs one of Swift's servers in the foreground: serve.py FOLDER proxy|account|container|object"""
import os
import sys

import runtime_fixes

FOLDER, KIND = sys.argv[1], sys.argv[2]
runtime_fixes.apply(FOLDER)

from swift.common.wsgi import run_wsgi  # noqa: E402  (after the fixes)

if __name__ == "__main__":
    sys.exit(run_wsgi(os.path.join(FOLDER, KIND + ".conf"), KIND + "-server", verbose=True))
