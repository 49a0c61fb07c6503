# cython: language_level=3
from posix.unistd cimport write


cdef inline Py_ssize_t sent(int descriptor, bytes data) noexcept:
    return write(descriptor, <const char *>data, len(data))
