# cython: language_level=3


from rproxy.dataplane.session cimport Session


cdef class Pending:
    cdef public Session session
    cdef public Py_ssize_t left, count, cost
    cdef public bytes request, head
    cdef public bint read, queued
    cdef public int tries, effect
    cdef public double since
    cdef public list parts
