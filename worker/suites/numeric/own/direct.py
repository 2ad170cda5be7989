"""Functions of MKL that no package offers for numpy's arrays without further libraries: vector mathematics, sparse products."""
import ctypes
import sys

GENERAL = 20
NOT_TRANSPOSED = 10


class Description(ctypes.Structure):
    """``struct matrix_descr``: a general matrix, so that the other fields say nothing."""

    _fields_ = [("kind", ctypes.c_int), ("mode", ctypes.c_int), ("diagonal", ctypes.c_int)]


def _address(array):
    return ctypes.c_void_p(array.ctypes.data)


def elementwise(mkl, name, numpy):
    """``vdExp`` and the like as a function that makes a new array, as numpy's do."""
    function = getattr(mkl, name)
    function.restype = None

    def call(array):
        result = numpy.empty_like(array)
        function(ctypes.c_int(array.size), _address(array), _address(result))
        return result
    return call


class SparseMatrix:
    """A matrix of MKL over arrays of numpy in the CSR format with 32-bit indices, looked at and arranged once."""

    def __init__(self, mkl, numpy, starts, columns, values):
        self.mkl, self.numpy = mkl, numpy
        self.arrays = starts, columns, values
        self.rows = len(starts) - 1
        self.handle = ctypes.c_void_p()
        self.description = Description(GENERAL, 0, 0)
        rows = ctypes.c_int(self.rows)
        ends = ctypes.c_void_p(starts.ctypes.data + starts.itemsize)
        self._must("mkl_sparse_d_create_csr", ctypes.byref(self.handle), 0, rows, rows, _address(starts), ends,
                   _address(columns), _address(values))
        self._must("mkl_sparse_set_mv_hint", self.handle, NOT_TRANSPOSED, self.description, 1000)
        self._must("mkl_sparse_optimize", self.handle)

    def _must(self, name, *arguments):
        status = getattr(self.mkl, name)(*arguments)
        if status != 0:
            sys.exit("%s gave status %d" % (name, status))

    def __matmul__(self, vector):
        result = self.numpy.empty(self.rows)
        self._must("mkl_sparse_d_mv", NOT_TRANSPOSED, ctypes.c_double(1.0), self.handle, self.description,
                   _address(vector), ctypes.c_double(0.0), _address(result))
        return result
