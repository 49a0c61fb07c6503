# cython: language_level=3
cimport cython

from rproxy.dataplane cimport lists
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.session cimport Session
from rproxy.dataplane.upstream cimport Upstream

cdef Py_ssize_t _MUCH
cdef int _OVER, _ROUNDS


cdef class LoopPass:
    cdef Plane _plane
    cdef object _soon
    cdef list _sessions, _lanes
    cdef bint _ending

    cpdef object wake(self, Session session)
    cpdef object collect(self, Upstream lane)
    cpdef object end_soon(self)
    cpdef object begin(self)
    @cython.locals(sessions=list, session=Session, waits=bint, kept=Py_ssize_t, done=Py_ssize_t)
    cpdef object answer(self)
    cdef object _flush(self, Session session)
    @cython.locals(lanes=list, lane=Upstream, count=Py_ssize_t, done=Py_ssize_t)
    cdef object _write(self)
    cdef object _leave(self, list entered, Py_ssize_t count)
    @cython.locals(sessions=list, count=Py_ssize_t, done=Py_ssize_t)
    cpdef object end(self)
