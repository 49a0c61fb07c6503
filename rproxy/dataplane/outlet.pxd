# cython: language_level=3
cimport cython


cdef class Outlet:
    cdef readonly object transport
    cdef int _descriptor
    cdef object _send
    cdef bint _behind

    @cython.locals(sent=Py_ssize_t)
    cpdef object write(self, bytes data)
    cdef bint _waits(self) except -1
