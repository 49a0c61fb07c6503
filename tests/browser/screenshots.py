"""The pictures of the page in docs/images: `python -m tests.browser.screenshots` makes them anew (Pillow is needed for it; `bench`'s matplotlib
brings it).

For people; no test calls it. Real servers, real traffic: what they show happens.
"""

from __future__ import annotations

import time
from pathlib import Path

from PIL import Image

from rproxy.embedded import free_port
from tests.admin.asking import answers
from tests.browser.browsing import Browser, browser
from tests.browser.load import load
from tests.integration.harness import rproxy
from tests.integration.servers import cluster
from tests.integration.wire import eventually

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
LARGEST = 150_000
COLOURS = 128
SEEN = 45.0
"""Seconds of traffic that a picture shows."""


def take(page: Browser, name: str) -> None:
    """One picture."""
    path = FOLDER / f"{name}.png"
    page.picture(str(path))
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < LARGEST, f"{path} has {path.stat().st_size} bytes"
    print(path)


def main() -> None:
    """All of them."""
    port = free_port()
    with cluster() as servers, rproxy(servers, admin=f"tcp://127.0.0.1:{port}") as proxy, browser() as page:
        eventually(lambda: answers(f"tcp://127.0.0.1:{port}"), "the admin listener answers", within=15)
        page.open(f"http://127.0.0.1:{port}/", height=1180)
        with load(proxy), load(proxy):
            time.sleep(SEEN)
            take(page, "page-light")
            page.click("#theme")
            time.sleep(2)
            take(page, "page-dark")
            page.resize(390, 1180)
            time.sleep(2)
            take(page, "page-phone")
            page.resize(1280, 760)
            page.click("#theme")
            servers.replicas[-1].kill()
            eventually(lambda: "is out" in page.text("#verdict"), "the page shows it")
            time.sleep(6)
            take(page, "page-replica-out")


if __name__ == "__main__":
    main()
