# cython: language_level=3
cimport cython

from rproxy.dataplane.commands cimport Command
from rproxy.dataplane.freshness cimport Freshness, slot_of
from rproxy.dataplane.resp cimport RequestFramer

cdef int _NOTHING, _FIRST, _FIXED, _ALL, _LEADER

@cython.locals(need="unsigned long long", slot=Py_ssize_t)
cpdef unsigned long long need_of(Freshness table, Command command, bytes data, Py_ssize_t pos, Py_ssize_t stop, RequestFramer framer)
@cython.locals(reach=int)
cpdef list slots_of(Command command, bytes data, Py_ssize_t pos, Py_ssize_t stop, RequestFramer framer)
@cython.locals(text="const unsigned char *", last=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, index=Py_ssize_t, length=Py_ssize_t)
cdef list _fixed(Command command, bytes data, Py_ssize_t pos, RequestFramer framer)
@cython.locals(framer=RequestFramer, pos=Py_ssize_t, stop=Py_ssize_t, command=Command)
cpdef list slots_of_run(dict commands, bytes request, Py_ssize_t count)
