"""The model test: random commands of several connections go to one server directly and through rproxy, and every reply, push, session state and the
final data must be the same.

`generator` makes a plan of steps from a seed, `runner` runs it on both sides, `differences` says what may differ and why, `shrinker` removes steps from a
plan that fails while it still fails. `python -m tests.model` looks for new failures; `kept` holds the shrunk plans of those that were found.
"""
