# cython: language_level=3
cimport cython

from rproxy.dataplane cimport octets

cdef Py_ssize_t _BUCKETS
cdef unsigned long long _FIRST


cdef class Times:
    cdef object _memory
    cdef unsigned long long *_cells
    cdef unsigned long long _reads, _writes, _reads_took, _writes_took

    cpdef object took(self, bint read, unsigned long long spent, unsigned long long count)
    cpdef object settle(self)
    @cython.locals(first=Py_ssize_t, at=Py_ssize_t, bound="unsigned long long")
    cpdef object add(self, bint write, unsigned long long spent, unsigned long long count)
