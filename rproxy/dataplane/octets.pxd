# cython: language_level=3
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memcmp


cdef inline void *_writable(object memory) except NULL:
    cdef Py_buffer view
    PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE)
    PyBuffer_Release(&view)
    return view.buf


cdef inline unsigned long long *numbers(object memory) except NULL:
    return <unsigned long long *>_writable(memory)


cdef inline int *integers(object memory) except NULL:
    return <int *>_writable(memory)


cdef inline unsigned long long word(const unsigned char *data, Py_ssize_t at) noexcept:
    data += at
    return (
        <unsigned long long>data[0]
        | <unsigned long long>data[1] << 8
        | <unsigned long long>data[2] << 16
        | <unsigned long long>data[3] << 24
        | <unsigned long long>data[4] << 32
        | <unsigned long long>data[5] << 40
        | <unsigned long long>data[6] << 48
        | <unsigned long long>data[7] << 56
    )


cdef inline bint stands(bytes part, bytes data, Py_ssize_t at) noexcept:
    return memcmp(<const char *>part, <const char *>data + at, len(part)) == 0
