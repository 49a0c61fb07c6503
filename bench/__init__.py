"""The benchmark: rproxy beside a direct connection and beside every peer that is found, on this machine, in
one run.

Started by `make bench` as `python -m bench`. It owns the peers' configurations (`peers`), the loads (`load`),
the load generator (`generator`), what is read from the kernel (`measure`), the order of the runs (`rounds`)
and what is written (`report`, `chart`). It must never be imported by rproxy, listen on anything but
127.0.0.1, or end a process that it did not start.
"""
