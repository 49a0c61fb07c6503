# cython: language_level=3
cimport cython

from rproxy.dataplane cimport lists
from rproxy.dataplane.backlog cimport Backlog
from rproxy.dataplane.commands cimport Command
from rproxy.dataplane.outlet cimport Outlet
from rproxy.dataplane.pending cimport Pending
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.pool cimport Pool
from rproxy.dataplane.resp cimport RequestFramer
from rproxy.dataplane.run cimport Run
from rproxy.dataplane.upstream cimport Upstream

cdef int _FLIGHT, _MORE, _BROKEN
cdef Py_ssize_t _MOST_COMMANDS, _MOST_BYTES, _LARGE, _MOST_JOINED, _MOST_AHEAD, _NOTEWORTHY, _SMALL, _FIRST_FLIGHT


cdef class Session:
    cdef public Plane plane
    cdef public object key, state, answer_with, profile, attachment, affinity
    cdef public Outlet transport
    cdef public bint shared, multi, watching, begun, watched, watch_lost, uploading, eof, hung_up, choked
    cdef public list fifo, out
    cdef public Py_ssize_t id, chunks, held, inflight, inflight_bytes
    cdef public int halted, selecting
    cdef public Upstream lease, question
    cdef readonly RequestFramer framer
    cdef public dict names
    cdef public object table, policy
    cdef readonly bytearray tail
    cdef readonly Backlog backlog
    cdef bint _awake
    cdef readonly Run run
    cdef public Py_ssize_t most_held
    cdef readonly Py_ssize_t most_ahead, most_inflight, reply_size
    cdef Py_ssize_t growing
    cdef readonly Upstream stopped
    cdef public bint fresh, strict
    cdef public Py_ssize_t away, looked
    cdef public unsigned long long asked
    cdef public set looked_at
    cdef public list holding, queued
    cdef readonly dict ties
    cdef object __weakref__

    cpdef object hang_up(self)
    cpdef object data_received(self, bytes data)
    @cython.locals(plane=Plane, pos=Py_ssize_t, stop=Py_ssize_t, framer=RequestFramer, run=Run, command=Command)
    cdef object _take(self, bytes data, Py_ssize_t pos)
    cdef object _leave(self, bytes data, Py_ssize_t pos, Py_ssize_t stop)
    @cython.locals(pending=Pending, plane=Plane, text="const unsigned char *")
    cpdef object send(self, Pool pool, bytes data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t count, bint reads, unsigned long long need, list slots, bint vouched)
    cpdef object deliver(self, Pending pending, bytes piece, Py_ssize_t replies, bint begins)
    @cython.locals(pending=Pending, fifo=list)
    cdef object _advance(self)
    cpdef Pool steady_reader(self, Py_ssize_t bucket, unsigned long long need)
    cpdef object push(self, bytes piece, bint begins, bint ends)
    cpdef object track(self, Pending pending)
    cdef object _wait_for_output(self)
    @cython.locals(mean=Py_ssize_t)
    cdef object _learn(self, Py_ssize_t size, Py_ssize_t replies)
    cdef object _limit_flight(self)
    cpdef object take_off(self)
    cpdef object bound_output(self, bint stranger)
    cdef object _hold_back(self)
    @cython.locals(pending=Pending, rest=Pending, begun=bint)
    cdef list _take_back(self)
    cdef object _let_pass(self, Pending pending, Pending rest)
    cdef object _stop_reading(self)
    cdef object _read_on(self)
    cdef object _bound(self)
    cpdef object overflow(self)
    cpdef object wake(self)
    @cython.locals(before=Py_ssize_t)
    cpdef object flush(self)
