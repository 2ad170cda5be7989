"""Runs numpy with the linear algebra of the library that a benchmark is for, and makes sure of it.

numpy's wheel calls OpenBLAS by names of its own (``scipy_cblas_dgemm64_``), bound when its three extension modules are
loaded. Intel's MKL has the same functions with the same 64-bit interface under other names (``cblas_dgemm_64``). So for
MKL these modules are copied, the names in the copies' string tables replaced by MKL's, which are shorter, and the copies
imported: the same numpy, compiled once, over one library or the other. What was really mapped is read from the kernel.
"""
import ctypes
import glob
import importlib.machinery
import importlib.util
import os
import re
import sys
import tempfile

# Of numpy 2.4.6: the modules that are linked to OpenBLAS, and how many names each takes from it.
MODULES = {"numpy._core._multiarray_umath": 22, "numpy.linalg._umath_linalg": 35, "numpy.linalg.lapack_lite": 6}
RUNTIME = "libmkl_rt.so.3"
OPENMP = "libiomp5.so"
OPENBLAS = re.compile(r"/libscipy_openblas64_[^/]*\.so")
# All but the handler of errors, which numpy itself has.
OPENBLAS_NAME = re.compile(rb"\0(?:(libscipy_openblas64_-\w+\.so)|scipy_(cblas_\w+?)64_|scipy_(?!xerbla)(\w+?_64_))(?=\0)")
MKL = re.compile(r"/libmkl_(\w+)\.so")


class Library:
    """The library under numpy, by the name that benchmarks call it."""

    def __init__(self, name, threads):
        if importlib.util.find_spec("numpy") is None:
            sys.exit("the suite's numpy is for CPython 3.11 to 3.14")
        there = len(os.sched_getaffinity(0))
        if there < threads:
            sys.exit("this benchmark needs %d processors and may use %d: give `cpus` in worker.toml more of them, "
                     "or leave it out" % (threads, there))
        self.name = name
        self.threads = threads
        # What the libraries read when they are loaded.
        for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
            os.environ[variable] = str(threads)
        os.environ["MKL_DYNAMIC"] = "FALSE"
        os.environ["MKL_THREADING_LAYER"] = "INTEL"
        self.mkl = self._load_mkl() if name == "mkl" else None

    def _load_mkl(self):
        ctypes.CDLL(_find(OPENMP), ctypes.RTLD_GLOBAL)
        # Extension modules that need it by its name get the one that is loaded.
        mkl = ctypes.CDLL(_find(RUNTIME), ctypes.RTLD_GLOBAL)
        sys.meta_path.insert(0, _Relinked())
        return mkl

    def facts(self):
        """What is mapped and set, as text for a run's metadata; the program ends when it is not what was asked for."""
        with open("/proc/self/maps") as lines:
            maps = lines.read()
        openblas = OPENBLAS.search(maps)
        parts = sorted(set(MKL.findall(maps)))
        if self.mkl is not None:
            if openblas or "rt" not in parts or "core" not in parts:
                sys.exit("MKL should be under numpy, but mapped are %s and %s" % (openblas, parts))
            threads = self.mkl.mkl_get_max_threads()
            text = ctypes.create_string_buffer(200)
            self.mkl.mkl_get_version_string(text, 200)
            version, kind = text.value.decode("ascii").strip(), " ".join(parts)
        else:
            if not openblas or parts:
                sys.exit("OpenBLAS should be under numpy, but mapped are %s and %s" % (openblas, parts))
            path = next(line.split(None, 5)[5] for line in maps.splitlines() if OPENBLAS.search(line))
            mapped = ctypes.CDLL(path)
            threads = mapped.scipy_openblas_get_num_threads64_()
            version, kind = (self._text(mapped, name) for name in (
                "scipy_openblas_get_config64_", "scipy_openblas_get_corename64_"))
        if threads != self.threads:
            sys.exit("%s uses %d threads, not %d" % (self.name, threads, self.threads))
        return {"library": self.name, "linear_algebra": version, "linear_algebra_code": kind,
                "linear_algebra_threads": str(threads)}

    @staticmethod
    def _text(library, name):
        function = getattr(library, name)
        function.restype = ctypes.c_char_p
        return function().decode("ascii")


def _find(file):
    for folder in sys.path:
        found = glob.glob(os.path.join(glob.escape(folder), "unpacked", "*", "*.data", "data", "lib", file))
        if found:
            return found[0]
    sys.exit("%s is nowhere among the requirements" % file)


class _Relinked:
    """Finds the modules that call OpenBLAS, as copies that call MKL."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()

    def find_spec(self, name, path=None, target=None):
        if name not in MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        copy = os.path.join(self.folder, os.path.basename(spec.origin))
        with open(spec.origin, "rb") as original:
            content = relinked(original.read(), MODULES[name])
        with open(copy, "wb") as file:
            file.write(content)
        return importlib.util.spec_from_file_location(name, copy)


def relinked(content, expected):
    """The bytes of a shared object with OpenBLAS's names replaced by MKL's."""
    # A file that was not stripped has each name twice: for the loader and for debuggers.
    names = set()

    def replace(match):
        names.add(match.group())
        file, blas, lapack = match.groups()
        new = RUNTIME.encode("ascii") if file else blas + b"_64" if blas else lapack
        return (b"\0" + new).ljust(len(match.group()), b"\0")

    content = OPENBLAS_NAME.sub(replace, content)
    if len(names) != expected + 1:
        sys.exit("numpy has %d names of OpenBLAS, not %d: it is another one than this suite's"
                 % (len(names), expected + 1))
    return content
