# cython: language_level=3
cimport cython

from rproxy.dataplane cimport octets

cdef Py_ssize_t _KEYSPACE, _LEADERS, _SERVERS, _NEWEST, _HOLDING, _OLDEST, _MISSES, _WANTED, _DROPPED, _PROCESSES, _CELLS
cdef int _SHIFT
cdef unsigned long long _ONE, _EVERY, _HELD, _NEVER, _ABOUT_TO, _FACTOR, _MASK

@cython.locals(text="const unsigned char *", number="unsigned long long", last="unsigned long long", at=Py_ssize_t)
cpdef Py_ssize_t slot_of(bytes data, Py_ssize_t start, Py_ssize_t stop) noexcept


cpdef unsigned long long bit(Py_ssize_t slot) noexcept


cdef class Freshness:
    cdef public unsigned long long asked
    cdef object _memory
    cdef unsigned long long *_cells
    cdef Py_ssize_t _workers, _own, _marks, _rests
    cdef dict _holds
    cdef object __weakref__

    @cython.locals(own=Py_ssize_t, slot=Py_ssize_t)
    cpdef object stamp(self, list slots, unsigned long long now)
    @cython.locals(other=Py_ssize_t, newest="unsigned long long", at=Py_ssize_t)
    cpdef unsigned long long need(self, Py_ssize_t slot) noexcept
    @cython.locals(latest="unsigned long long", at=Py_ssize_t)
    cpdef unsigned long long dropped(self, Py_ssize_t server) noexcept
    @cython.locals(mark="unsigned long long")
    cpdef unsigned long long mark(self, Py_ssize_t server) noexcept
    cpdef object miss(self)
    cpdef object want(self)
    cpdef bint rests(self) noexcept
