# cython: language_level=3
cdef Py_ssize_t _MOST


cdef class Backlog:
    cdef readonly Py_ssize_t size
    cdef list _pieces
    cdef bint _paused

    cpdef object keep(self, bytes data, object transport)
    cpdef object put_back(self, bytes data)
    cpdef bytes take(self)
    cpdef object relax(self, object transport)
    cpdef object clear(self)
