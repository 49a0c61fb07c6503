# cython: language_level=3
cdef class Command:
    cdef readonly bytes name, blocks_on
    cdef readonly int kind, effect, arity
    cdef readonly object flags, rule, key_specs
    cdef readonly dict subcommands
    cdef public Py_ssize_t calls
    cdef public bint plain, script, unordered, alone, overridden
    cdef readonly bint relays
    cdef public bytes refusal
    cdef readonly object script_keys
    cdef readonly int reach
    cdef readonly Py_ssize_t last, step
