# cython: language_level=3

cdef extern from *:
    """
    static PyObject *rproxy_take_first(PyObject *list) {
        PyListObject *items = (PyListObject *)list;
        PyObject *first = items->ob_item[0];
        Py_ssize_t left = Py_SIZE(items) - 1;
        memmove(items->ob_item, items->ob_item + 1, (size_t)left * sizeof(PyObject *));
        Py_SET_SIZE(items, left);
        return first;
    }
    static int rproxy_empty(PyObject *list) {
        while (Py_SIZE(list)) {
            PyObject *last = ((PyListObject *)list)->ob_item[Py_SIZE(list) - 1];
            Py_SET_SIZE(list, Py_SIZE(list) - 1);
            Py_DECREF(last);
        }
        return 0;
    }
    """
    object rproxy_take_first(list items)
    int rproxy_empty(list items)


cdef inline object take_first(list items):
    return rproxy_take_first(items)


cdef inline int empty(list items) except -1:
    return rproxy_empty(items)
