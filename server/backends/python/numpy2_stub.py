"""Lets Triton's Python stub of 24.10, which was compiled against NumPy 1, work with NumPy 2.

The stub (pybind11 2.10) reads a dtype's element size where NumPy 1 kept it: 32 bytes into the dtype object. NumPy 2
keeps its flags there and the size 8 bytes further, so the stub takes every element for 0 bytes long: output tensors
arrive empty, input tensors repeat their first element. Triton fixed this in 24.11 (python_backend pull request 384).

- Input: the stub makes arrays through NumPy's C table with strides of element size 0. It looks the table up in
  `numpy.core.multiarray`, which only extensions compiled against NumPy 1 do, so that name gets a copy of the table
  whose PyArray_NewFromDescr ignores the strides: Triton's tensors are always contiguous.
- Output: while a tensor is constructed, its array has a dtype object of its own, into which the element size is
  written where the stub looks for it. The original value is put back before anything else can see it.

Where the stub needs it, the embedded server appends the import of this module to its copy of
triton_python_backend_utils.py.
"""

import ctypes
import threading

import numpy as np
import numpy.core.multiarray as numpy1_entry
import triton_python_backend_utils as utils
from c_python_backend_utils import Tensor

# Offsets of elsize in the dtype object, 64-bit: NumPy 1's (a C int, where NumPy 2 has its flags) and NumPy 2's.
_NUMPY1_SIZE_OFFSET, _NUMPY2_SIZE_OFFSET = 32, 40
# From NumPy's C API table; the stub's pybind11 reads no entry beyond 282.
_NEW_FROM_DESCR, _TABLE_LENGTH = 94, 300
_NewFromDescr = ctypes.PYFUNCTYPE(
    ctypes.c_void_p,  # returns an array
    ctypes.c_void_p,  # subtype
    ctypes.c_void_p,  # dtype
    ctypes.c_int,  # number of dimensions
    ctypes.c_void_p,  # dimensions
    ctypes.c_void_p,  # strides; NULL stands for contiguous
    ctypes.c_void_p,  # data
    ctypes.c_int,  # flags
    ctypes.c_void_p,  # object for subclasses
)
_constructing = threading.local()
_original_init = Tensor.__init__
_original_serialize = utils.serialize_byte_tensor


class _Numpy1Size:
    """A contiguous array seen through a private dtype object that shows its element size to the stub."""

    def __init__(self, array):
        # By way of NumPy's own object: of a copy, such as a view of another tensor's array has, it makes none.
        dtype = np.dtype(np.dtype(array.dtype.str), copy=True)
        self.array = np.ndarray(array.shape, dtype, buffer=array)
        if self.array.dtype is not dtype or dtype is array.dtype:
            raise RuntimeError("this NumPy shares dtype objects; the embedded server needs another release of NumPy")
        self._field = ctypes.c_int32.from_address(id(dtype) + _NUMPY1_SIZE_OFFSET)
        self._flags = self._field.value
        self._field.value = dtype.itemsize

    def restore(self):
        self._field.value = self._flags


def _init(self, name, array, *more):
    _constructing.views = views = []
    try:
        if array.dtype.kind not in "OS":
            views.append(_Numpy1Size(np.array(array, order="C", copy=None)))
            array = views[0].array
        _original_init(self, name, array, *more)
    finally:
        _constructing.views = None
        for view in views:
            view.restore()


def _serialize_byte_tensor(array):
    serialized = _original_serialize(array)
    views = getattr(_constructing, "views", None)
    if not serialized or views is None:
        return serialized
    views.append(_Numpy1Size(np.frombuffer(serialized, dtype=np.uint8)))
    return views[-1].array


def _install():
    sample = np.dtype(np.float32)
    if ctypes.c_int64.from_address(id(sample) + _NUMPY2_SIZE_OFFSET).value != sample.itemsize:
        raise RuntimeError(f"NumPy {np.__version__} has another layout than 2.x; the embedded server needs NumPy 2")
    capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    capsule_pointer.argtypes, capsule_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    new_capsule = ctypes.pythonapi.PyCapsule_New
    new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    new_capsule.restype = ctypes.py_object

    entries = ctypes.c_void_p * _TABLE_LENGTH
    table = entries.from_buffer_copy(entries.from_address(capsule_pointer(numpy1_entry._ARRAY_API, None)))
    original = _NewFromDescr(table[_NEW_FROM_DESCR])

    @_NewFromDescr
    def contiguous(subtype, dtype, rank, dims, _strides, *others):
        return original(subtype, dtype, rank, dims, None, *others)

    table[_NEW_FROM_DESCR] = ctypes.cast(contiguous, ctypes.c_void_p).value
    numpy1_entry._ARRAY_API = new_capsule(ctypes.addressof(table), None, None)
    # C code holds these addresses from now on.
    _install.alive = (table, original, contiguous)
    utils.serialize_byte_tensor = _serialize_byte_tensor
    Tensor.__init__ = _init


if int(np.__version__.partition(".")[0]) >= 2:
    _install()
