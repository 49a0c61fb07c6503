"""The chaos rig: forty clients use rproxy while a nemesis does its worst to servers, network or rproxy itself; then what was answered is compared with the
data that is there. `python -m tests.chaos` runs nemeses and prints a table, `python -m tests.chaos.soak` watches memory and descriptors for long.
"""
