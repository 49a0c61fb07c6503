# cython: language_level=3
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from posix.unistd cimport close, read, write

cdef extern from *:
    """
    #define RPROXY_MOST 262144
    static char rproxy_input[RPROXY_MOST];
    #ifdef __linux__
    #include <sys/epoll.h>
    static int rproxy_poll(void) { return epoll_create1(EPOLL_CLOEXEC); }
    static int rproxy_control(int poll, int how, int descriptor) {
        struct epoll_event event;
        event.events = EPOLLIN;
        event.data.u64 = 0;
        event.data.fd = descriptor;
        return epoll_ctl(poll, how ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, descriptor, &event);
    }
    static int rproxy_ready(int poll, int *found, int most) {
        struct epoll_event events[512];
        int count = epoll_wait(poll, events, most < 512 ? most : 512, 0);
        for (int at = 0; at < count; at++) found[at] = events[at].data.fd;
        return count;
    }
    #else
    static int rproxy_poll(void) { return -1; }
    static int rproxy_control(int poll, int how, int descriptor) { return -1; }
    static int rproxy_ready(int poll, int *found, int most) { return 0; }
    #endif
    """
    const int RPROXY_MOST
    char *rproxy_input
    int rproxy_poll() nogil
    int rproxy_control(int poll, int how, int descriptor) nogil
    int rproxy_ready(int poll, int *found, int most) nogil


cdef inline Py_ssize_t sent(int descriptor, bytes data) noexcept:
    return write(descriptor, <const char *>data, len(data))


cdef inline bytes received(int descriptor):
    cdef Py_ssize_t count = read(descriptor, rproxy_input, RPROXY_MOST)
    if count > 0:
        return PyBytes_FromStringAndSize(rproxy_input, count)
    return None if count < 0 and (errno == EAGAIN or errno == EINTR) else b""


cdef inline int poll() noexcept:
    return rproxy_poll()


cdef inline int end(int poll) noexcept:
    return close(poll)


cdef inline int watch(int poll, int descriptor) noexcept:
    return rproxy_control(poll, 1, descriptor)


cdef inline int unwatch(int poll, int descriptor) noexcept:
    return rproxy_control(poll, 0, descriptor)


cdef inline int ready(int poll, int[::1] found) noexcept:
    return rproxy_ready(poll, &found[0], <int>found.shape[0])
