# cython: language_level=3


cdef class Pending:
    cdef public object session
    cdef public Py_ssize_t left, count, cost
    cdef public bytes request, head
    cdef public bint read, queued
    cdef public int tries, effect
    cdef public double since
    cdef public list parts
