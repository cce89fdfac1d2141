"""The page of a trace in a browser: opened, operated and read by selenium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from ddstructs import Action, Memory, Trace, trace

__all__ = ["chromium", "half_and_half", "log", "look", "press", "save", "slide", "symbols", "tiles", "words"]


def chromium(profile: Path) -> Chrome:
    """Start headless Chromium with a new profile; skip the test where there is none."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("NOT TESTED: THE PAGE IN A BROWSER. There is no chromium: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options, Service(driver, env=os.environ | {"HOME": str(profile)}))


def log(browser: Chrome, kind: str) -> list[dict[str, Any]]:
    """The messages logged by the browser since the last call."""
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return entries


def look(
    browser: Chrome, path: Path, width: int = 1280, height: int = 900, dark: bool = False, still: bool = True
) -> None:
    """Open a page in a window of the given size and, if it is not to play, go to its first step."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {
            "name": "prefers-reduced-motion",
            "value": "reduce" if still else "no-preference",
        },  # draws without animation
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    log(browser, "performance")
    log(browser, "browser")
    browser.get(path.as_uri())
    if still:
        browser.execute_script("if (typeof go === 'function') go(0, true)")


def half_and_half(memory: Memory, steps: int = 12, rows: int = 1, **settings: Any) -> Trace:
    """Push in the first half, pop in the second; a second head pushes a quarter, and does not pop."""
    up = (torch.arange(2 * steps) < steps).float()[None, :, None].expand(rows, -1, -1)
    head = torch.tensor([1.0, 0.25])[: memory.heads]
    pop = torch.tensor([1.0, 0.0])[: memory.heads]
    value = torch.randn(rows, 2 * steps, memory.heads, memory.width, generator=torch.Generator().manual_seed(0))
    letters = {"input_text": [[chr(97 + t % 26) for t in range(2 * steps)]] * rows}
    named: dict[str, Any] = letters | settings
    return trace(memory, Action(up * head, (1 - up) * pop, value), **named)


def save(tmp_path: Path, seen: Trace, other: Trace | None = None) -> Path:
    seen.save_html(tmp_path / "trace.html", other)
    return tmp_path / "trace.html"


def tiles(browser: Chrome, player: int = 0) -> list[tuple[str, float, float]]:
    """The symbol, height and lower edge of each tile, from the bottom to the top."""
    found = browser.execute_script(
        "const pile = document.querySelectorAll('.player')[arguments[0]].querySelector('.pile');"
        "return [...pile.querySelectorAll('.tile')].filter(tile => tile.style.opacity == 1).map(tile => {"
        "  const box = tile.getBoundingClientRect();"
        "  return [tile.firstChild.textContent, box.height, pile.getBoundingClientRect().bottom - box.bottom]; })",
        player,
    )
    return sorted(((symbol, height, low) for symbol, height, low in found), key=lambda tile: tile[2])


def symbols(browser: Chrome, player: int = 0) -> str:
    return "".join(tile[0] for tile in tiles(browser, player))


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def words(browser: Chrome) -> str:
    return browser.find_element(By.CLASS_NAME, "words").text


def slide(browser: Chrome, step: int) -> None:
    browser.execute_script(
        "const slider = document.getElementById('slider'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input', { bubbles: true }))",
        step,
    )
