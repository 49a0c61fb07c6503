# cython: language_level=3


cimport cython

from rproxy.dataplane.commands cimport Command
from rproxy.dataplane.session cimport Session


@cython.freelist(256)
cdef class Pending:
    cdef public Session session
    cdef public Py_ssize_t left, count, cost
    cdef public bytes request, head
    cdef public bint read, queued, away, resend, vouched
    cdef public int tries, effect, hops
    cdef public double since
    cdef public list parts, slots
    cdef public unsigned long long sent, need, left_at
    cdef public Command command
    cdef public object key

    cpdef object begin(self, Session session, Py_ssize_t count, bytes request, bint read, int effect)
