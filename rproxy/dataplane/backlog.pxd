# cython: language_level=3
cdef Py_ssize_t _MOST, _SMALL


cdef class Backlog:
    cdef readonly Py_ssize_t size
    cdef object _parts
    cdef Py_ssize_t _start
    cdef bint _paused
    cdef Py_ssize_t _most

    cpdef object keep(self, bytes data, object transport)
    cpdef object put_back(self, bytes data, Py_ssize_t start)
    cpdef tuple take(self)
    cpdef object bear(self, Py_ssize_t most, object transport)
    cpdef object relax(self, object transport)
    cpdef object clear(self)
