# cython: language_level=3
cimport cython

from rproxy.dataplane.pool cimport Pool


cdef class Plane:
    cdef public object ports, options, table, clients, keys, topology, clock, random, later, dial, hang_up, notice
    cdef public dict pools
    cdef public Pool leader
    cdef public list readers
    cdef public Py_ssize_t diverted, retried, lost, leaderless_reads, session_output
    cdef public bint leaderless, draining
    cdef list _awake
    cdef Py_ssize_t _together
    cdef Pool _reader
    cdef bint _ticking
    cdef object __weakref__

    cpdef Pool reader(self)
    cpdef object wake(self, object thing)
    cpdef object end_of_pass(self)
