# cython: language_level=3
cimport cython

from rproxy.dataplane cimport syscalls
from rproxy.dataplane.inlets cimport Inlets


cdef class Outlet:
    cdef readonly object transport, protocol
    cdef readonly int descriptor, socket
    cdef bint _behind, _reads
    cdef Inlets _inlets, _ends

    @cython.locals(taken=Py_ssize_t)
    cpdef object write(self, bytes data)
    cpdef bint reads(self)
    cpdef bint paused(self)
    cdef bint _waits(self) except -1
