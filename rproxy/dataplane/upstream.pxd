# cython: language_level=3
cimport cython

from rproxy.dataplane.outlet cimport Outlet
from rproxy.dataplane.pending cimport Pending
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.pool cimport Pool
from rproxy.dataplane.resp cimport ReplyFramer
from rproxy.dataplane.session cimport Session


cdef int _BROKEN, _ERROR, _PUSH, _SCRIPT
cdef Py_ssize_t _BIG_REPLY, _LONG_REPLY


cdef class Upstream:
    cdef public Pool pool
    cdef public object key, base, stage
    cdef public Outlet transport
    cdef public Session owner
    cdef public bint ready, choked, ended, blameless, wrong_process, spoiled, retiring, unused, anonymous
    cdef public list batch, fifo, waiters
    cdef Py_ssize_t _first, _passed
    cdef unsigned long long _came
    cdef double _dialled
    cdef public Py_ssize_t received, seen, silent, run
    cdef public bytes hello, refusal, process
    cdef ReplyFramer _framer
    cdef object _handshake, _dial
    cdef public object attachment
    cdef bytes _held
    cdef object __weakref__

    cpdef object data_received(self, bytes data)
    @cython.locals(pos=Py_ssize_t)
    cdef object _take(self, bytes data)
    cpdef object send(self, Pending pending)
    @cython.locals(pending=Pending, now="unsigned long long")
    cpdef object flush(self)
    cdef object _write(self, bytes data)
    @cython.locals(framer=ReplyFramer, pending=Pending, begins=bint, start=Py_ssize_t, left=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t _answer(self, bytes data, Py_ssize_t pos)
    cdef object _give(self, Pending pending, bytes data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t replies, bint begins)
    @cython.locals(session=Session, plane=Plane, spent="unsigned long long", text="const unsigned char *")
    cdef object _hand_over(self, Pending pending, bytes data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t replies, bint begins)
    cdef object _pass_by(self, Py_ssize_t size, bint begins)
    cdef object _advance(self)
    cdef Py_ssize_t _refused(self, Pending pending, bytes data, Py_ssize_t pos, Py_ssize_t stop) except -2
    @cython.locals(stop=Py_ssize_t)
    cdef Py_ssize_t _unasked(self, bytes data, Py_ssize_t pos)
    @cython.locals(pos=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t _open(self, bytes data)
