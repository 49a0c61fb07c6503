# cython: language_level=3
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from posix.unistd cimport close

cdef extern from *:
    """
    #include <sys/socket.h>
    #include <time.h>
    #define RPROXY_MOST 262144
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    static unsigned long long rproxy_now(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (unsigned long long)time.tv_sec * 1000000000ULL + (unsigned long long)time.tv_nsec;
    }
    static char rproxy_input[RPROXY_MOST];
    #ifdef __linux__
    #include <sys/epoll.h>
    static int rproxy_poll(void) { return epoll_create1(EPOLL_CLOEXEC); }
    static int rproxy_control(int poll, int how, int descriptor, int reads) {
        struct epoll_event event;
        event.events = (reads ? EPOLLIN : 0) | EPOLLRDHUP | EPOLLET;
        event.data.u64 = 0;
        event.data.fd = descriptor;
        return epoll_ctl(poll, how, descriptor, &event);
    }
    static int rproxy_ready(int poll, int *found, int most) {
        struct epoll_event events[512];
        int count = epoll_wait(poll, events, most < 512 ? most : 512, 0);
        for (int at = 0; at < count; at++)
            found[at] = events[at].events & ~EPOLLIN ? ~events[at].data.fd : events[at].data.fd;
        return count;
    }
    #else
    #define EPOLL_CTL_ADD 0
    #define EPOLL_CTL_MOD 0
    #define EPOLL_CTL_DEL 0
    static int rproxy_poll(void) { return -1; }
    static int rproxy_control(int poll, int how, int descriptor, int reads) { return -1; }
    static int rproxy_ready(int poll, int *found, int most) { return 0; }
    #endif
    """
    const int MSG_NOSIGNAL, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL
    Py_ssize_t recv(int descriptor, void *data, size_t most, int flags) nogil
    Py_ssize_t send(int descriptor, const void *data, size_t size, int flags) nogil
    unsigned long long rproxy_now() nogil
    const int RPROXY_MOST
    char *rproxy_input
    int rproxy_poll() nogil
    int rproxy_control(int poll, int how, int descriptor, int reads) nogil
    int rproxy_ready(int poll, int *found, int most) nogil


cdef inline Py_ssize_t sent(int descriptor, bytes data) noexcept:
    return send(descriptor, <const char *>data, len(data), MSG_NOSIGNAL)


cdef inline bytes received(int descriptor):
    cdef Py_ssize_t count = recv(descriptor, rproxy_input, RPROXY_MOST, 0)
    while count < 0 and errno == EINTR:
        count = recv(descriptor, rproxy_input, RPROXY_MOST, 0)
    if count > 0:
        return PyBytes_FromStringAndSize(rproxy_input, count)
    return None if count < 0 and errno == EAGAIN else b""


cdef inline unsigned long long now(object clock, bint of_the_system) except? 0:
    return rproxy_now() if of_the_system else clock()


cdef inline int poll() noexcept:
    return rproxy_poll()


cdef inline int end(int poll) noexcept:
    return close(poll)


cdef inline int watch(int poll, int descriptor) noexcept:
    return rproxy_control(poll, EPOLL_CTL_ADD, descriptor, 1)


cdef inline int again(int poll, int descriptor) noexcept:
    return rproxy_control(poll, EPOLL_CTL_MOD, descriptor, 1)


cdef inline int watch_end(int poll, int descriptor) noexcept:
    cdef int done = rproxy_control(poll, EPOLL_CTL_ADD, descriptor, 0)
    return done if done == 0 else rproxy_control(poll, EPOLL_CTL_MOD, descriptor, 0)


cdef inline int unwatch(int poll, int descriptor) noexcept:
    return rproxy_control(poll, EPOLL_CTL_DEL, descriptor, 0)


cdef inline int ready(int poll, int *found, int most) noexcept:
    return rproxy_ready(poll, found, most)
