# cython: language_level=3
cimport cython

from rproxy.dataplane cimport lists, octets, syscalls
from rproxy.dataplane.loop_pass cimport LoopPass
from rproxy.dataplane.outlet cimport Outlet
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.session cimport Session
from rproxy.dataplane.upstream cimport Upstream

cdef Py_ssize_t _MOST
cdef int _LOOKS, _SEVERAL, _ENOUGH


cdef class Inlets:
    cdef readonly bint open
    cdef Plane _plane
    cdef int _poll
    cdef list _outlets, _came, _pieces
    cdef Py_ssize_t _size
    cdef object _memory
    cdef int *_found
    cdef object _unwatch

    cpdef object add(self, Outlet outlet)
    cdef object _keep(self, Outlet outlet)
    cpdef object watch_end(self, Outlet outlet)
    cpdef object resume(self, Outlet outlet)
    cpdef object remove(self, Outlet outlet)
    @cython.locals(loop_pass=LoopPass, count=int, seen=int)
    cpdef object ready(self)
    @cython.locals(outlet=Outlet, found="int *", at=int, count=int, descriptor=int, ended=bint)
    cdef int _look(self) except -1
    @cython.locals(data=bytes, upstream=Upstream)
    cdef object _read(self, Outlet outlet, bint ended)
    @cython.locals(outlet=Outlet, at=Py_ssize_t)
    cdef object _give(self)
    @cython.locals(session=Session, upstream=Upstream)
    cdef object _give_one(self, object protocol, Outlet outlet, bytes data)
    cdef object _end(self, Outlet outlet, object problem)
