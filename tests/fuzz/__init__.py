"""Fuzzing of the data plane: of the framers, however their input is cut, and of a whole session between scripted clients and servers.

`python -m tests.fuzz` looks for new failures with atheris; `corpus` keeps inputs that reach much, and those that have shown faults, and a test runs them.
"""
