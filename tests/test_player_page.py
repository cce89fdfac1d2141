"""The page of a trace is whole, small and safe: it needs no network, and no symbol becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from player import half_and_half, log, look, press, save, slide, symbols
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ddstructs import Action, Bank, Deque, NoMemory, Queue, Stack, Trace, trace

EVIL = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "\u2028",
    "'\"`${1}",
    "\ud800",
]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_loads_without_an_error_and_asks_the_network_for_nothing(
    browser: Chrome, tmp_path: Path, width: int, dark: bool
) -> None:
    for memory in (Stack(4), Queue(4), Deque(4), Bank([Stack(4), Queue(4)]), NoMemory()):
        page = save(tmp_path, half_and_half(memory), half_and_half(memory, steps=20))
        look(browser, page, width=width, dark=dark)
        press(browser, Keys.END)
        assert log(browser, "browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in log(browser, "performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert asked == [page.as_uri()]
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.execute_script(overflow) <= 0, "nothing sticks out to the side"
        back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        lightness = sum(map(int, re.findall(r"\d+", back)[:3])) / 3
        assert (lightness < 60) if dark else (lightness > 200)


def test_no_symbol_can_inject_markup(browser: Chrome, tmp_path: Path) -> None:
    ones = torch.ones(1, len(EVIL), 1)
    action = Action(ones, 0 * ones, torch.randn(1, len(EVIL), 1, 2))
    seen = trace(Stack(2), action, title=EVIL[0], input_text=[EVIL], output_text=[EVIL])
    look(browser, save(tmp_path, seen, Trace.from_json(seen.to_json())))
    for _ in EVIL:
        press(browser, Keys.ARROW_RIGHT)
    assert log(browser, "browser") == []
    assert browser.execute_script("return document.querySelectorAll('script').length") == 2
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert browser.find_element(By.TAG_NAME, "h1").text == EVIL[0]
    assert browser.title == f"{EVIL[0]} | {EVIL[0]}"
    assert symbols(browser).startswith("".join(EVIL[:3]))


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(browser: Chrome, tmp_path: Path) -> None:
    seen = half_and_half(Stack(4), title='"><b>bold')
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html><title>n</title><h1>x</h1>{seen._repr_html_()}")
    look(browser, tmp_path / "notebook.html")
    assert browser.find_elements(By.TAG_NAME, "b") == []
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    slide(browser, 2)
    assert symbols(browser) == "abc"
    browser.switch_to.default_content()
    assert log(browser, "browser") == []


def test_a_page_is_small_and_whole(tmp_path: Path) -> None:
    for memory in (Stack(64), Queue(64), Deque(64)):
        generator = torch.Generator().manual_seed(0)
        push, pop = torch.rand(2, 1, 200, memory.heads, generator=generator)
        value = torch.randn(1, 200, memory.heads, 64, generator=generator)
        seen = trace(memory, Action(push, 0.8 * pop, value), input_text=[["</script>"] * 200])
        page = save(tmp_path, seen)
        assert page.stat().st_size < 300_000
        text = page.read_text(encoding="ascii")
        assert text.count("</script>") == 2
        assert not re.search(r"https?:|//[a-z]|url\(|import\s", text.replace("</script>", ""))
