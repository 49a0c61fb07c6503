"""The picture: its panels and colours. Drawing itself needs matplotlib, which only `make bench` installs."""

from __future__ import annotations

from bench.chart import colours_of, panels
from bench.load import matrix


def test_there_is_a_panel_for_each_command_size_and_pipeline() -> None:
    shown = panels(matrix())
    assert len(shown) == 2 * 2 * 2 + 1
    assert [load.clients for load in shown["GET", 100, 16]] == [1, 50, 500]


def test_a_peers_colour_does_not_depend_on_who_else_is_there() -> None:
    alone, among = colours_of(["predixy"]), colours_of(["rproxy", "rproxy (interpreted)", "predixy", "Envoy"])
    assert alone["predixy"] == among["predixy"]
    assert len(set(among.values())) == 4
