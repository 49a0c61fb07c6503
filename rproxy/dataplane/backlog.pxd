# cython: language_level=3
cdef Py_ssize_t _MOST


cdef class Backlog:
    cdef readonly Py_ssize_t size
    cdef list _pieces
    cdef bint _paused
    cdef Py_ssize_t _most

    cpdef object keep(self, bytes data, object transport)
    cpdef object put_back(self, bytes data)
    cpdef bytes take(self)
    cpdef object bear(self, Py_ssize_t most, object transport)
    cpdef object relax(self, object transport)
    cdef object _go_on(self, object transport)
    cpdef object clear(self)
