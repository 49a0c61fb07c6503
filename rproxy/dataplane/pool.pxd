# cython: language_level=3
cimport cython

from rproxy.dataplane.histograms cimport Times
from rproxy.dataplane.pending cimport Pending
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.session cimport Session
from rproxy.dataplane.upstream cimport Upstream


cdef class Pool:
    cdef public Plane plane
    cdef public object server
    cdef readonly Times times
    cdef public bint leads, silent, dials, refuses, refused
    cdef unsigned long long _heard
    cdef double _failed
    cdef bint _given_up
    cdef public Py_ssize_t reads, writes, index, weight
    cdef public dict lanes
    cdef public set leases, writing, stalled
    cdef dict _spare
    cdef set _unready
    cdef public bytes process
    cdef public Py_ssize_t wrong_processes
    cdef Py_ssize_t _failures
    cdef object __weakref__

    @cython.locals(lane=Upstream)
    cpdef Upstream lane(self, object key)
    @cython.locals(lane=Upstream, usual=Upstream)
    cpdef Upstream lane_for(self, object key, Session session)
    cpdef object send(self, Pending pending)
