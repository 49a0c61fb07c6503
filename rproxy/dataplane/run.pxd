# cython: language_level=3
cimport cython

from rproxy.dataplane cimport octets, order
from rproxy.dataplane.commands cimport Command
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.pool cimport Pool
from rproxy.dataplane.session cimport Session
from rproxy.dataplane.touched cimport need_of, slots_of
from rproxy.dataplane.watch cimport Watch

cdef int _READ, _FLIGHT
cdef Py_ssize_t _MOST_BYTES


cdef class Run:
    cdef Pool pool
    cdef public Pool reader
    cdef bint reads, vouched
    cdef unsigned long long mark
    cdef Py_ssize_t at, count
    cdef unsigned long long need
    cdef list slots
    cdef public Command command

    @cython.locals(last=Command, text="const unsigned char *")
    cdef Command named(self, dict table, bytes data, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(pool=Pool, plane=Plane, reads=bint, need="unsigned long long", watch=Watch)
    cdef bint join(self, Session session, Command command, bytes data, Py_ssize_t pos, Py_ssize_t stop) except -1
    @cython.locals(pool=Pool, plane=Plane)
    cdef Pool _reader(self, Session session, unsigned long long need)
    cdef bint _write(self, Session session, list slots) except -1
    @cython.locals(pool=Pool, slots=list, count=Py_ssize_t, need="unsigned long long")
    cdef object end(self, Session session, bytes data, Py_ssize_t pos)
