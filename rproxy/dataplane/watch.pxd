# cython: language_level=3


cdef class Watch:
    cdef public object plane, commands, sampled
    cdef public Py_ssize_t countdown
    cdef public unsigned long long slow
    cdef public dict keys, biggest
    cdef object _halve_at, _last
    cdef Py_ssize_t _size, _floor
