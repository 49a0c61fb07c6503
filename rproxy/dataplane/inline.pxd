# cython: language_level=3
# C types for inline.py, which stays plain Python.
cimport cython

cdef dict _ESCAPES


@cython.locals(text="const unsigned char *", pos=Py_ssize_t, end=Py_ssize_t, word=bytearray)
cpdef list split_line(bytes line)

cdef bint _is_space(int byte) noexcept

cdef Py_ssize_t _hex_digit(int byte) noexcept

@cython.locals(text="const unsigned char *", end=Py_ssize_t, byte="unsigned char")
cdef Py_ssize_t _word(bytes line, Py_ssize_t pos, bytearray word) except -2

@cython.locals(text="const unsigned char *", end=Py_ssize_t, byte="unsigned char")
cdef Py_ssize_t _quoted(bytes line, Py_ssize_t pos, int quote, bytearray word) except -2

@cython.locals(text="const unsigned char *", high=Py_ssize_t, low=Py_ssize_t, byte="unsigned char")
cdef Py_ssize_t _escape(bytes line, Py_ssize_t pos, bytearray word) except -2
