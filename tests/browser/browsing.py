"""A real browser without a window: Debian's Chromium, driven by selenium.

Used by the tests of the page and by what makes its pictures. It must never fetch anything: browser and driver are those of the machine.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """One window."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str, width: int = 1280, height: int = 1000, theme: str = "light") -> None:
        """Show a page, as if the system were set to `theme`, with nothing remembered."""
        self.resize(width, height)
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "no-preference"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get(url)
        # For a page that is shown already the driver sometimes returns before the new one's scripts have run.
        WebDriverWait(self.driver, 10).until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def resize(self, width: int, height: int) -> None:
        """Of what the page sees; windows have a least width."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a piece of JavaScript returns, awaited; its words may `import` the page's own modules."""
        done = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{ {script} }})(...arguments).then((value) => done({{value}}), (error) => done({{error: String(error)}}))",
            *arguments,
        )
        assert "error" not in done, done["error"]
        return done.get("value")

    def text(self, selector: str) -> str:
        """What is written there, "" where there is nothing."""
        return str(self.run("return document.querySelector(given[0])?.textContent ?? ''", selector))

    def click(self, selector: str) -> None:
        self.run("document.querySelector(given[0]).click()", selector)

    def complaints(self) -> list[str]:
        """Errors on the console since the last time."""
        entries: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def picture(self, path: str) -> None:
        """What is seen, as a PNG file."""
        self.driver.save_screenshot(path)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser of its own, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as folder:
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
