"""The page in a real browser: it shows what happens, soon, and runs nothing that a stranger wrote."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from rproxy.rates import percentile
from tests.browser.load import HOSTILE, load
from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import eventually

if TYPE_CHECKING:
    from tests.browser.browsing import Browser

pytestmark = pytest.mark.browser

VISIBLE_WITHIN = 3.0
"""Seconds until a server that is gone is seen to be: promised."""
HEADLINE = "#verdict .headline"
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const light = (name) => {
  canvas.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
return given[0].map(([ink, ground]) => {
  const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
});
"""
INKS = [(f"--{ink}", f"--{ground}") for ink in ("ink", "muted") for ground in ("surface", "ground", "raised")]
INKS += [(f"--{level}", f"--{level}-ground") for level in ("good", "warn", "bad")] + [
    ("--ink", "--bad-ground"),
    ("--muted", "--bad-ground"),
]
LINES = [(f"--c{number}", "--surface") for number in range(8)]


@pytest.fixture(scope="module")
def shared() -> Iterator[Browser]:
    from tests.browser.browsing import browser

    with browser() as started:
        yield started


@pytest.fixture
def page(shared: Browser, proxy: Proxy, port: int) -> Iterator[Browser]:
    """The page, opened anew; nothing it does may leave an error on the console."""
    shared.complaints()
    shared.open(f"http://127.0.0.1:{port}/")
    eventually(lambda: shared.text(HEADLINE).startswith("All is well"), "it says that all is well", within=20)
    yield shared
    assert shared.complaints() == []


def figure(page: Browser, title: str) -> str:
    """The value of one of the numbers at the top."""
    found = page.run(
        "return [...document.querySelectorAll('#figures div')].map((one) => [one.firstChild.textContent, one.lastChild.textContent])"
    )
    return str(dict(found)[title])


def test_it_shows_every_server_and_who_leads(page: Browser, servers: Cluster) -> None:
    names = [f"127.0.0.1:{node.port}" for node in servers.nodes]
    drawn = page.run("return [...document.querySelectorAll('#topology .node .name')].map((one) => one.textContent)")
    listed = page.run("return [...document.querySelectorAll('#servers tbody tr')].map((one) => one.cells[0].textContent)")
    assert drawn == ["Clients", "rproxy", *names] and listed == names
    assert names[0] in page.text(HEADLINE) and "2 replicas are read" in page.text(HEADLINE)
    assert "leader 127.0.0.1" in page.run("return document.querySelector('#topology svg').getAttribute('aria-label')")


def test_it_moves_under_load(page: Browser, proxy: Proxy) -> None:
    with load(proxy):
        eventually(lambda: figure(page, "commands/s") not in ("–", "0"), "commands are counted")
        first = figure(page, "commands/s")
        eventually(lambda: figure(page, "commands/s") != first, "the number moves")
        kinds = "document.querySelector('#charts .chart .legend').textContent"
        eventually(
            lambda: "read" in page.run(f"return {kinds}") and "write" in page.run(f"return {kinds}"), "the chart has both kinds"
        )
        widths = "return [...document.querySelectorAll('#topology .reads')].map((one) => parseFloat(one.style.strokeWidth))"
        eventually(lambda: all(width > 0 for width in page.run(widths)[2:]), "reads flow to both replicas")
        assert "writes/s" in page.text("#topology .edge:nth-child(2) .label")


def test_it_says_nothing_of_the_past_before_anything_has_come(page: Browser) -> None:
    assert "No command has come since this page was opened." in page.text("#charts .chart .empty")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_legible_in_the_systems_theme(page: Browser, port: int, theme: str) -> None:
    page.open(f"http://127.0.0.1:{port}/", theme=theme)
    assert page.run("return document.documentElement.dataset.theme") == theme
    assert min(page.run(CONTRAST, INKS)) >= 4.5 and min(page.run(CONTRAST, LINES)) >= 3


def test_the_button_turns_the_theme_and_is_remembered(page: Browser, port: int) -> None:
    before = page.run("return getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    after = page.run("return getComputedStyle(document.body).backgroundColor")
    page.driver.refresh()
    assert before != after == page.run("return getComputedStyle(document.body).backgroundColor")
    page.click("#theme")


def test_it_fits_a_phone(page: Browser, port: int) -> None:
    page.resize(390, 844)
    eventually(lambda: page.run("return document.querySelector('#topology svg').clientWidth") < 390, "the drawing is made anew")
    assert page.run("return document.documentElement.scrollWidth") == 390


def test_strangers_words_are_text(page: Browser) -> None:
    shown = page.run(
        """
        const { Table, bar } = await import("/static/tables.js");
        const box = document.createElement("div");
        document.body.append(box);
        new Table(box, "test", [{ title: "Key", cell: (row) => row.key }], "none").fill([{ key: given[0] }, { key: "a\\u202eb\\r\\n\\u0000" }]);
        await new Promise((resolve) => setTimeout(resolve, 100));
        const found = [box.querySelectorAll("script, img").length, ...[...box.querySelectorAll("td")].map((cell) => cell.textContent), document.title];
        box.remove();
        return found;
        """,
        HOSTILE,
    )
    assert shown == [0, HOSTILE, "a\\u202eb\\u000d\\u000a\\u0000", "rproxy"]


def test_no_page_can_bring_its_own_script(page: Browser) -> None:
    with pytest.raises(AssertionError, match="TrustedHTML"):
        page.run("document.body.innerHTML = '<p>';")
    assert any("TrustedHTML" in complaint for complaint in page.complaints())


def test_what_an_rproxy_does_not_count_is_said_to_be_missing(page: Browser) -> None:
    said = page.run(
        """
        const { Samples } = await import("/static/samples.js");
        const { CHARTS, Chart } = await import("/static/charts.js");
        const { latency, errors, kinds, ...old } = await (await fetch("/api/status")).json();
        const [samples, box] = [new Samples(), document.createElement("div")];
        document.body.append(box);
        samples.add(old, 1);
        samples.add({ ...old, now_ms: old.now_ms + 1000 }, 2);
        const said = CHARTS.map((about) => { const chart = new Chart(box, about); chart.show(samples, 60); return chart.message.textContent; });
        box.remove();
        return said;
        """
    )
    assert [bool(words) and "Not available" in words for words in said] == [False, False, True, True, False, False]


def test_the_page_and_rproxy_top_count_the_same_percentiles(page: Browser) -> None:
    dice = random.Random(5)
    bounds = [0.1, 0.5, 1.0, 5.0]
    cases = [[dice.randrange(9) * dice.randrange(2) for _ in range(5)] for _ in range(30)]
    shown = page.run(
        "const { percentile } = await import('/static/percentiles.js');"
        "return given[1].flatMap((counts) => [0.5, 0.95, 0.99].map((share) => percentile(given[0], counts, share)))",
        bounds,
        cases,
    )
    assert shown == pytest.approx([percentile(bounds, counts, share) for counts in cases for share in (0.5, 0.95, 0.99)])


def test_it_says_when_rproxy_does_not_answer(page: Browser, proxy: Proxy) -> None:
    proxy.signal(signal.SIGSTOP)
    try:
        eventually(lambda: "cannot be reached" in page.text(HEADLINE), "it says so")
    finally:
        proxy.signal(signal.SIGCONT)
    eventually(lambda: page.text(HEADLINE).startswith("All is well"), "it says that all is well again", within=20)


def test_it_asks_nothing_while_it_is_not_seen(page: Browser) -> None:
    asked = page.run(
        """
        const count = () => performance.getEntriesByType("resource").filter((one) => one.name.includes("/api/status")).length;
        const see = (hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        };
        see(true);
        await new Promise((resolve) => setTimeout(resolve, 300));
        const before = count();
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const during = count() - before;
        see(false);
        await new Promise((resolve) => setTimeout(resolve, 500));
        return [during, count() > before + during];
        """
    )
    assert asked == [0, True]


def test_a_replica_that_is_killed_is_seen_within_3_s(page: Browser, servers: Cluster) -> None:
    node = servers.replicas[-1]
    node.kill()
    name = f"127.0.0.1:{node.port}"
    eventually(
        lambda: page.text("#verdict .details b") == name, "the page says which replica is out, and why", within=VISIBLE_WITHIN
    )
    assert "1 replica is out" in page.text(HEADLINE)
    assert page.text("#topology .node.out .name") == name and page.text("#topology .node.out .state") == "replica, out"
    assert len(page.text("#verdict .details li")) > len(name) + 5
