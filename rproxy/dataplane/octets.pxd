# cython: language_level=3
from libc.string cimport memcmp


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
