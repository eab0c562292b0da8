# distutils: language = c++
# cython: language_level=3, boundscheck=False, wraparound=False
"""The Python face of native/src/text, by Cython. Private: use safelight.cli.printable."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_FromKindAndData
from libc.stddef cimport size_t

cdef extern from *:
    ctypedef unsigned int char32_t

cdef extern from "Python.h":
    ctypedef unsigned int Py_UCS4
    Py_UCS4* PyUnicode_AsUCS4Copy(object text) except NULL
    int PyUnicode_4BYTE_KIND

cdef extern from "safelight/status.h" namespace "safelight":
    cdef enum class Status(unsigned int):
        kOk

cdef extern from "safelight/text.h" namespace "safelight::text":
    size_t kMaxEscapeLength
    Status _printable "safelight::text::printable"(
        const char32_t* text, size_t length, char32_t* out, size_t capacity, size_t* written) nogil


def printable(str text not None) -> str:
    """Return ``text`` with everything that a screen would obey or hide as a visible ``\\u{HEX}``.

    Args:
        text: any ``str``, lone surrogates included (as in an undecodable file name).

    Returns:
        A ``str`` without control, bidirectional, zero-width, separator or surrogate characters.
        Not reversible on purpose: a backslash in the input stays as it is.
    """
    cdef size_t length = len(text)
    cdef size_t written = 0
    cdef size_t capacity = length * kMaxEscapeLength
    cdef Py_UCS4* source = PyUnicode_AsUCS4Copy(text)
    cdef Py_UCS4* target = <Py_UCS4*>PyMem_Malloc((capacity + 1) * sizeof(Py_UCS4))
    cdef Status status
    try:
        if target == NULL:
            raise MemoryError()
        with nogil:
            status = _printable(<const char32_t*>source, length, <char32_t*>target, capacity, &written)
        if status != Status.kOk:
            raise ValueError("native text core refused the text: build and library are of different versions")
        return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, target, written)
    finally:
        PyMem_Free(source)
        PyMem_Free(target)
