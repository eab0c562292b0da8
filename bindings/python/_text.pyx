# distutils: language = c++
# cython: language_level=3, boundscheck=False, wraparound=False
"""The Python face of native/src/text, by Cython. Private: use safelight.cli.printable and safelight.detect.text."""

import numpy as np

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_FromKindAndData
from libc.math cimport NAN
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef extern from *:
    ctypedef unsigned int char32_t

cdef extern from "Python.h":
    ctypedef unsigned int Py_UCS4
    Py_UCS4* PyUnicode_AsUCS4Copy(object text) except NULL
    Py_UCS4* PyUnicode_AsUCS4(object text, Py_UCS4* buffer, Py_ssize_t size, int copy_null) except NULL
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


cdef extern from "safelight/text_features.h" namespace "safelight::text":
    cdef enum class _Language "safelight::text::Language"(unsigned char):
        pass

    cdef enum class _Trust "safelight::text::Trust"(unsigned char):
        pass

    cdef cppclass _Context "safelight::text::Context":
        bint from_other
        _Trust trust
        double gap_s

    cdef cppclass _Ids "std::array<std::int32_t, safelight::text::kMaxIds>":
        int32_t* data() nogil

    cdef cppclass _Dense "std::array<float, safelight::text::kDense>":
        float* data() nogil

    cdef cppclass _Features "safelight::text::Features":
        _Ids ids
        _Dense dense
        uint32_t count
        _Language language
        uint32_t flags

    cdef cppclass _Workspace "safelight::text::Workspace":
        pass

    uint32_t kFeatureVersion
    size_t kMaxInput
    size_t kMaxIds
    size_t kDense
    size_t kMaxNormalised
    size_t kLanguageCount
    size_t kFlagCount
    uint32_t kBuckets
    Status _features "safelight::text::features"(
        const char32_t* text, size_t length, const _Context& context, _Workspace* work, _Features* out) nogil
    Status _features_utf8 "safelight::text::features_utf8"(
        const char* text, size_t length, const _Context& context, _Workspace* work, _Features* out) nogil
    Status _normalised "safelight::text::normalised"(
        const _Workspace& work, char32_t* out, size_t capacity, size_t* written) nogil
    void _forget "safelight::text::forget"(_Workspace* work) nogil
    const char* language_name(_Language language) nogil
    const char* flag_name(size_t bit) nogil
    const char* text_data_sha256() nogil

FEATURE_VERSION = kFeatureVersion
DATA_SHA256 = text_data_sha256().decode()
MAX_IDS = kMaxIds
DENSE = kDense
BUCKETS = kBuckets
MAX_INPUT = kMaxInput
LANGUAGES = tuple(language_name(<_Language>number).decode() for number in range(kLanguageCount))
FLAGS = tuple(flag_name(bit).decode() for bit in range(kFlagCount))
TRUSTS = ("unknown", "child", "guardian")
SENDERS = ("other", "self")


cdef class TextFeatures:
    """What features() found.

    Attributes:
        ids: ``int32[MAX_IDS]``, distinct and in order, padded with 0.
        count: how many of them.
        dense: ``float32[DENSE]``, each in [0, 1].
        language: one of ``LANGUAGES``.
        flags: of ``FLAGS``, as bits.
    """

    cdef readonly object ids
    cdef readonly object dense
    cdef readonly int count
    cdef readonly str language
    cdef readonly uint32_t flags

    def has(self, str flag not None) -> bool:
        """Whether a flag of ``FLAGS`` was raised."""
        return bool(self.flags >> FLAGS.index(flag) & 1)

    def __repr__(self) -> str:
        return f"TextFeatures(count={self.count}, language={self.language!r}, flags={self.flags})"


cdef class _Memory:
    """The working memory of a call. It held the text: forget() wipes it."""

    cdef _Workspace* work

    def __cinit__(self):
        self.work = <_Workspace*>PyMem_Malloc(sizeof(_Workspace))
        if self.work == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.work != NULL:
            memset(<void*>self.work, 0, sizeof(_Workspace))
            PyMem_Free(self.work)


# One wiped memory is kept for the next call: to get and clear 250 KB takes longer than to read a message. Taken and
# given back with the GIL held; a second thread that finds none makes its own.
cdef _Memory _spare = None


cdef _Memory _take():
    global _spare
    cdef _Memory memory = _spare
    _spare = None
    return memory if memory is not None else _Memory()


cdef void _give_back(_Memory memory) noexcept:
    global _spare
    _forget(memory.work)
    _spare = memory


cdef _Context _context(str sender, str trust, object gap_s) except *:
    cdef _Context context
    if sender not in SENDERS:
        raise ValueError(f"sender: got {sender!r}, expected one of {', '.join(SENDERS)}.")
    if trust not in TRUSTS:
        raise ValueError(f"trust: got {trust!r}, expected one of {', '.join(TRUSTS)}.")
    context.from_other = sender == "other"
    context.trust = <_Trust><int>TRUSTS.index(trust)
    context.gap_s = NAN if gap_s is None else gap_s
    return context


cdef void _run(object text, const _Context& context, _Memory memory, _Features* out) except *:
    cdef Py_UCS4 buffer[4097]
    cdef size_t length
    cdef Status status
    cdef const char* data
    if isinstance(text, str):
        length = len(text)
        if length > kMaxInput:
            length = kMaxInput + 1  # the core sees that there is more
            text = text[:length]
        if length > 0:
            PyUnicode_AsUCS4(text, buffer, 4097, 0)
        with nogil:
            status = _features(<const char32_t*>buffer, length, context, memory.work, out)
        memset(buffer, 0, length * sizeof(Py_UCS4))
    elif isinstance(text, bytes):
        data = text
        length = len(text)
        with nogil:
            status = _features_utf8(data, length, context, memory.work, out)
    else:
        raise TypeError(f"text: got {type(text).__name__}, expected str or UTF-8 bytes.")
    if status != Status.kOk:
        raise ValueError("native text core refused the text: build and library are of different versions")


def features(text, *, str sender not None="other", str trust not None="unknown", gap_s=None) -> TextFeatures:
    """The features of one message, as docs/text-features.md specifies them.

    Args:
        text: ``str`` (lone surrogates count as U+FFFD) or UTF-8 ``bytes`` (so does what is invalid). What goes
            beyond ``MAX_INPUT`` code points is not read and raises the flag ``truncated``.
        sender: ``other`` (the contact) or ``self`` (the child).
        trust: who knows this contact: ``unknown``, ``child`` or ``guardian``.
        gap_s: seconds since the message before; ``None`` when there is none.

    Raises:
        TypeError, ValueError: an argument is of another type or outside its words.
    """
    cdef _Features found
    cdef _Context context = _context(sender, trust, gap_s)
    cdef _Memory memory = _take()
    _run(text, context, memory, &found)  # when it raises, the memory is freed and not kept
    _give_back(memory)
    cdef TextFeatures out = TextFeatures.__new__(TextFeatures)
    out.ids = np.empty(kMaxIds, np.int32)
    out.dense = np.empty(kDense, np.float32)
    cdef int32_t[::1] ids = out.ids
    cdef float[::1] dense = out.dense
    memcpy(&ids[0], found.ids.data(), kMaxIds * sizeof(int32_t))
    memcpy(&dense[0], found.dense.data(), kDense * sizeof(float))
    out.count = found.count
    out.language = LANGUAGES[<int>found.language]
    out.flags = found.flags
    return out


def features_batch(texts, *, senders=None, trusts=None, gaps_s=None):
    """features() of many messages.

    Args:
        texts: a sequence of ``str`` or UTF-8 ``bytes``.
        senders, trusts, gaps_s: one for each text, as in features(); its default for all when left out.

    Returns:
        ``ids int32[N, MAX_IDS]``, ``dense float32[N, DENSE]``, ``counts int32[N]``, ``languages uint8[N]`` (index
        into ``LANGUAGES``) and ``flags uint32[N]`` (bits of ``FLAGS``).
    """
    texts = list(texts)
    cdef Py_ssize_t count = len(texts)
    cdef Py_ssize_t at
    for name, values in (("senders", senders), ("trusts", trusts), ("gaps_s", gaps_s)):
        if values is not None and len(values) != count:
            raise ValueError(f"{name}: got {len(values)}, expected one for each of the {count} texts.")
    ids_array = np.empty((count, kMaxIds), np.int32)
    dense_array = np.empty((count, kDense), np.float32)
    counts_array = np.empty(count, np.int32)
    languages_array = np.empty(count, np.uint8)
    flags_array = np.empty(count, np.uint32)
    cdef int32_t[:, ::1] ids = ids_array
    cdef float[:, ::1] dense = dense_array
    cdef int32_t[::1] counts = counts_array
    cdef uint8_t[::1] languages = languages_array
    cdef uint32_t[::1] flags = flags_array
    cdef _Features found
    cdef _Memory memory = _Memory()
    for at in range(count):
        context = _context(
            "other" if senders is None else senders[at],
            "unknown" if trusts is None else trusts[at],
            None if gaps_s is None else gaps_s[at],
        )
        _run(texts[at], context, memory, &found)
        memcpy(&ids[at, 0], found.ids.data(), kMaxIds * sizeof(int32_t))
        memcpy(&dense[at, 0], found.dense.data(), kDense * sizeof(float))
        counts[at] = found.count
        languages[at] = <uint8_t>found.language
        flags[at] = found.flags
    return ids_array, dense_array, counts_array, languages_array, flags_array


def normalised(text) -> str:
    """The tokens of a message in words, ``word/<CLASS>`` separated by spaces. For tests and tools, not for logs."""
    cdef _Features found
    cdef _Memory memory = _Memory()
    _run(text, _context("other", "unknown", None), memory, &found)
    cdef char32_t* out = <char32_t*>PyMem_Malloc(kMaxNormalised * sizeof(char32_t))
    cdef size_t written = 0
    if out == NULL:
        raise MemoryError()
    try:
        if _normalised(memory.work[0], out, kMaxNormalised, &written) != Status.kOk:
            raise ValueError("native text core refused the text: build and library are of different versions")
        return PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, out, written)
    finally:
        PyMem_Free(out)
