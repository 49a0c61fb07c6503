# cython: language_level=3
cimport cython

from rproxy.dataplane cimport syscalls
from rproxy.dataplane.freshness cimport Freshness
from rproxy.dataplane.inlets cimport Inlets
from rproxy.dataplane.loop_pass cimport LoopPass
from rproxy.dataplane.pool cimport Pool
from rproxy.dataplane.session cimport Session
from rproxy.dataplane.traffic cimport Traffic
from rproxy.dataplane.watch cimport Watch


cdef unsigned long long _HELD


cdef class Plane:
    cdef public object ports, options, table, tallies, clients, client_timeouts, failed_logins, keys, topology, clock, clock_ns, random, later, dial, hang_up, notice, about, choice, handover, pauses, barriers, retirement, intermission, scripts, broadcasts, login_checks, connection_checks, reauthentication, strangers
    cdef public dict pools
    cdef public Pool leader, limbo, nobody
    cdef public Freshness freshness
    cdef readonly Inlets inlets
    cdef readonly LoopPass loop_pass
    cdef readonly Watch watch
    cdef readonly Traffic traffic
    cdef public list readers, taken
    cdef public Py_ssize_t taken_reads, taken_writes
    cdef public Py_ssize_t diverted, retried, lost, leaderless_reads
    cdef public bint barred, draining, unlocked, stamping, leaderless
    cdef bint _says_leaderless, _plain_choice, _publishes, _publishing, _system_clock
    cdef double _leaderless_since
    cdef Py_ssize_t _together
    cdef Pool _reader
    cdef bint _ticking
    cdef object __weakref__

    cpdef Pool reader(self)
    cdef Pool _pick(self, list pools)
    cpdef Pool reader_of(self, Session session)
    cpdef bint may(self, Pool pool, unsigned long long need)
    @cython.locals(pool=Pool)
    cpdef Pool fresh_reader(self, unsigned long long need)
    cpdef Pool for_leader(self)
    cpdef object want_mark(self, unsigned long long need)
    cpdef unsigned long long now(self) except? 0
    @cython.locals(now="unsigned long long")
    cpdef unsigned long long stamp(self, list slots) except? 0
    cpdef object stamp_at(self, list slots, unsigned long long now)
    cpdef object pass_ended(self)
