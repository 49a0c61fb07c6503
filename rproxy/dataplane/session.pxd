# cython: language_level=3
cimport cython

from rproxy.dataplane.backlog cimport Backlog
from rproxy.dataplane.commands cimport Command
from rproxy.dataplane.pending cimport Pending
from rproxy.dataplane.plane cimport Plane
from rproxy.dataplane.pool cimport Pool
from rproxy.dataplane.resp cimport RequestFramer
from rproxy.dataplane.upstream cimport Upstream

cdef int _READ, _FLIGHT, _MORE, _BROKEN
cdef Py_ssize_t _MOST_COMMANDS, _MOST_BYTES, _LARGE, _MOST_JOINED


cdef class Session:
    cdef public Plane plane
    cdef public object key, state, transport, answer_with
    cdef public bint shared, multi, watching, uploading, eof, choked
    cdef public list fifo, out
    cdef public Py_ssize_t id, held, inflight, inflight_bytes
    cdef public int halted, selecting
    cdef public Upstream lease, question
    cdef public bytes name
    cdef readonly RequestFramer framer
    cdef dict _table
    cdef readonly bytearray tail
    cdef Backlog _backlog
    cdef bint _awake, _run_reads
    cdef Pool _reader, _run_pool
    cdef Py_ssize_t _run_at, _run_count, _most_held
    cdef object __weakref__

    @cython.locals(pos=Py_ssize_t, stop=Py_ssize_t, framer=RequestFramer, command=Command, text="const unsigned char *")
    cdef object _take(self, bytes data)
    @cython.locals(pool=Pool)
    cdef object _join_run(self, bint reads, bytes data, Py_ssize_t pos, Py_ssize_t stop)
    cdef object _end_run(self, bytes data, Py_ssize_t pos)
    cdef object _leave(self, bytes data, Py_ssize_t pos, Py_ssize_t stop)
    @cython.locals(pending=Pending, lane=Upstream, text="const unsigned char *")
    cpdef object send(self, Pool pool, bytes data, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t count, bint reads)
    cpdef object deliver(self, Pending pending, bytes piece, Py_ssize_t replies, bint begins)
    @cython.locals(pending=Pending, fifo=list)
    cdef object _advance(self)
    cpdef object track(self, Pending pending)
    cdef object _bound(self)
    cpdef object wake(self)
    cpdef object flush(self)
    cdef object _go_on(self)
