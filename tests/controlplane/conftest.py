"""What the tests of the control plane share."""

from __future__ import annotations

import pytest

from tests.controlplane.judging import Told, servers, well


@pytest.fixture
def told() -> Told:
    """One that has heard all three, and found them well."""
    told = Told()
    told.hear(*map(well, servers))
    return told
