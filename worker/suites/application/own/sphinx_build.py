"""A documentation build: Sphinx 7.2.6 makes the HTML of its own manual, of which the pinned source archive holds the text.

Parsing, cross references, highlighting and templates of a large program over some hundred files; one loop is one build
from nothing into an empty folder, in this process."""
import io
import os
import shutil
import sys
import tempfile
import time

import pyperf
from sphinx.application import Sphinx

FOLDER = next(path for path in sys.path if path.endswith(os.path.join("sphinx-7.2.6", "doc")))

# The manual's own settings without what needs a network or a tool of another kind.
SETTINGS = {
    "extensions": ["sphinx.ext.autosectionlabel", "sphinx.ext.todo", "sphinx.ext.extlinks"],
    "html_theme": "alabaster",
    "html_sidebars": {},
    "suppress_warnings": ["*"],
    "project": "Sphinx",
    "version": "7.2",
    "release": "7.2.6",
    "exclude_patterns": ["_build", "_static", "_templates", "_themes"],
    "root_doc": "index",
}


def build(loops):
    elapsed = 0.0
    for _ in range(loops):
        target = tempfile.mkdtemp()
        begun = time.perf_counter()
        application = Sphinx(
            FOLDER, None, os.path.join(target, "html"), os.path.join(target, "doctrees"), "html",
            confoverrides=SETTINGS, status=io.StringIO(), warning=io.StringIO(), freshenv=True,
        )
        application.build(force_all=True)
        elapsed += time.perf_counter() - begun
        pages = sum(name.endswith(".html") for _, _, names in os.walk(target) for name in names)
        if application.statuscode or pages < 80:
            raise SystemExit("the build gave status %r and %d pages" % (application.statuscode, pages))
        shutil.rmtree(target)
    return elapsed


if __name__ == "__main__":
    runner = pyperf.Runner()
    runner.metadata["description"] = "Build of Sphinx's own manual"
    runner.bench_time_func("sphinx_build", build)
