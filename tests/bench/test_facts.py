"""The heading of the results: what machine, and no names of it."""

from __future__ import annotations

import platform

from bench.facts import machine, processor


def test_the_processor_is_its_model_name() -> None:
    assert processor("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n") == "Some CPU @ 3 GHz"
    assert processor("") == platform.machine()


def test_the_host_is_not_named() -> None:
    facts = machine()
    assert int(facts["cores"]) >= 1
    assert platform.node() not in facts.values()
