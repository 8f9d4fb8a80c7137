"""Headless Chromium for tests, driven by selenium through the driver that is installed beside it.

Nothing is downloaded: without both the tests are skipped, or fail where REEVAL_BROWSER=required says that they must
run.
"""

import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
_FLAGS += ("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")
_MISSING = "no chromium and chromedriver on the PATH (on Debian and Ubuntu: apt install chromium chromium-driver)"


@contextlib.contextmanager
def started() -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        if os.environ.get("REEVAL_BROWSER") == "required":
            pytest.fail(_MISSING)
        pytest.skip(_MISSING)
    with tempfile.TemporaryDirectory(prefix="reeval-chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        chrome = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield chrome
        finally:
            chrome.quit()


def look(chrome: webdriver.Chrome, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
    """Set what the page sees of its screen."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def screenshot(chrome: webdriver.Chrome, path: Path) -> None:
    path.write_bytes(base64.b64decode(chrome.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]))


def requests(chrome: webdriver.Chrome) -> list[str]:
    """Addresses that were asked for since this was last called, but for files and what stands in the page itself."""
    messages: list[dict[str, Any]] = [
        json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")
    ]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [address for address in sent if not address.startswith("data:")]
