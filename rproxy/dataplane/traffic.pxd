# cython: language_level=3


cdef class Traffic:
    cdef public Py_ssize_t from_clients, to_clients, from_servers, to_servers
