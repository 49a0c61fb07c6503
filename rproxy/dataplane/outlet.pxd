# cython: language_level=3
cimport cython

from rproxy.dataplane cimport syscalls


cdef class Outlet:
    cdef readonly object transport
    cdef int _descriptor
    cdef bint _behind

    @cython.locals(taken=Py_ssize_t)
    cpdef object write(self, bytes data)
    cdef bint _waits(self) except -1
