# cython: language_level=3
# C types for resp.py, which stays plain Python.
cimport cython

cdef Py_ssize_t _MORE, _BROKEN, _MAX_BULK, _MAX_ARGUMENTS, _MAX_STRANGERS_ARGUMENTS, _MAX_STRANGERS_BULK, _MAX_LINE, _MAX_DEPTH
cdef int _NO_NUMBER, _MINUS, _NO_TYPE
cdef int _START, _COUNT, _COUNT_LF, _TYPE, _LENGTH, _LENGTH_LF, _BODY, _BODY_CR, _BODY_LF, _LINE, _LINE_LF


@cython.locals(length=Py_ssize_t, at=Py_ssize_t, stop=Py_ssize_t)
cdef Py_ssize_t _short_string(const unsigned char *text, Py_ssize_t pos, Py_ssize_t end) noexcept


cdef class RequestFramer:
    cdef readonly Py_ssize_t argc, name_at, name_end, word_at, word_end
    cdef readonly bint inline
    cdef public bint stranger
    cdef readonly bytes problem
    cdef Py_ssize_t _size, _left, _digits, _line, _seen
    cdef long long _number
    cdef int _state, _odd

    @cython.locals(stop=Py_ssize_t)
    cpdef Py_ssize_t scan(self, bytes data, Py_ssize_t pos)
    cdef void _reset(self) noexcept
    cdef Py_ssize_t _scan_line(self, bytes data, Py_ssize_t pos)
    @cython.locals(text="const unsigned char *", start=Py_ssize_t, end=Py_ssize_t, state=int, number="long long", byte="unsigned char")
    cdef Py_ssize_t _scan_arguments(self, bytes data, Py_ssize_t pos)
    @cython.locals(text="const unsigned char *")
    cdef Py_ssize_t _begin(self, bytes data, Py_ssize_t pos)
    @cython.locals(text="const unsigned char *", end=Py_ssize_t, found=Py_ssize_t, at=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t _step_over(self, bytes data, Py_ssize_t pos, Py_ssize_t base)
    @cython.locals(negative=bint)
    cdef bint _open_command(self, int byte, long long number)
    @cython.locals(odd=int)
    cdef bint _open_argument(self, int byte, long long number, Py_ssize_t at)
    cdef bint _close_argument(self, int byte)
    cdef Py_ssize_t _fail(self, bytes problem)


cdef class ReplyFramer:
    cdef readonly int kind
    cdef readonly bytes problem
    cdef Py_ssize_t _digits, _line, _left
    cdef long long _number
    cdef int _state, _type
    cdef list _outer

    cpdef bint within(self)
    cpdef Py_ssize_t announced(self)
    @cython.locals(found=Py_ssize_t, text="const unsigned char *", end=Py_ssize_t, state=int, number="long long", byte="unsigned char")
    cpdef Py_ssize_t scan(self, bytes data, Py_ssize_t pos)
    cdef int _end_line(self, int byte, int state, long long number)
    cdef int _open_value(self, int byte, int state)
    cdef int _open_length(self, long long number)
    @cython.locals(outer="long long")
    cdef bint _close_value(self)
    cdef Py_ssize_t _fail(self, bytes problem)
