"""How the page of a trace draws a memory: tiles, the outline of a read, heads, and several memories."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from player import half_and_half, log, look, press, save, slide, symbols, tiles, words
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ddstructs import Action, Bank, Controller, Deque, Queue, Stack, Tape, trace
from ddstructs.tasks import Reversal


def test_heights_are_strengths_and_the_outline_is_what_is_read(browser: Chrome, tmp_path: Path) -> None:
    push = torch.tensor([1.0, 0.5, 0.25])[None, :, None]
    seen = trace(Stack(2), Action(push, 0 * push, torch.randn(1, 3, 1, 2)), input_text=[["a", "b", "c"]])
    look(browser, save(tmp_path, seen))
    press(browser, Keys.END)
    drawn = tiles(browser)
    unit = drawn[0][1]
    assert [symbol for symbol, _, _ in drawn] == ["a", "b", "c"]
    assert [height / unit for _, height, _ in drawn] == pytest.approx([1, 0.5, 0.25], abs=0.02)
    low, high = browser.execute_script(
        "const box = document.querySelector('.window').getBoundingClientRect();"
        "const ground = document.querySelector('.pile').getBoundingClientRect().bottom;"
        "return [ground - box.bottom, ground - box.top]"
    )
    assert high - low == pytest.approx(unit + 6, abs=1), "a unit, and the outline around it"
    assert low == pytest.approx(drawn[0][2] + 0.75 * unit - 3, abs=1), "the quarter of a that is on top"
    said = "The input is \u201cc\u201d. Push 0.25, pop 0.00, reads b 50%, a 25%, c 25%. The memory is 1.8 deep."
    assert words(browser) == said


@pytest.mark.parametrize("width", [1280, 390])
def test_what_a_read_says_is_whole_and_under_no_other_word(browser: Chrome, tmp_path: Path, width: int) -> None:
    for memory in (Deque(4), Bank([Stack(4), Queue(4)]), Bank([Stack(4), Deque(4)])):
        ones = torch.ones(1, 24, memory.heads)
        letters = [[f"w{t}" for t in range(24)]]
        action = Action(0.9 * ones, 0.2 * ones, torch.randn(1, 24, memory.heads, 4))
        look(browser, save(tmp_path, trace(memory, action, input_text=letters)), width=width)
        cut = browser.execute_script(
            "const found = []; for (let to = 0; to < 24; to++) { go(to);"
            "  for (const label of document.querySelectorAll('.window span')) {"
            "    if (label.parentElement.style.opacity == 0) continue;"
            "    const pile = label.closest('.pile').getBoundingClientRect(), box = label.getBoundingClientRect();"
            "    const out = Math.max(pile.top - box.top, box.bottom - pile.bottom, box.right - pile.right);"
            "    if (out > 0.5 || label.scrollWidth > label.clientWidth + 1) found.push([to, label.textContent, out]);"
            "  } } return found"
        )
        assert cut == []
        names = "return [...document.querySelectorAll('.name')].map(name => name.getBoundingClientRect().bottom)"
        tops = "return [...document.querySelectorAll('.pile')].map(pile => pile.getBoundingClientRect().top)"
        low, high = browser.execute_script(names), browser.execute_script(tops)
        assert all(name <= high[i] for i, name in enumerate(low))


def test_where_nothing_is_read_there_is_no_outline(browser: Chrome, tmp_path: Path) -> None:
    push = torch.tensor([0.03, 0.5])[None, :, None]
    look(browser, save(tmp_path, trace(Stack(2), Action(push, 0 * push, torch.randn(1, 2, 1, 2)))))
    seen = "return document.querySelector('.window').style.opacity"
    assert browser.execute_script(seen) == "0"
    press(browser, Keys.END)
    assert browser.execute_script(seen) == "1"


def test_a_queue_is_left_at_the_bottom(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Queue(4))))
    slide(browser, 14)
    assert symbols(browser) == "defghijkl"
    assert tiles(browser)[0][2] < 20


def test_a_deque_grows_at_both_ends(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Deque(4))))
    slide(browser, 3)
    before = tiles(browser)
    assert "".join(tile[0] for tile in before) == "dcbaabcd"
    slide(browser, 4)
    after = tiles(browser)
    assert after[0][2] < before[0][2]
    assert after[-1][2] > before[-1][2]
    assert [title.text for title in browser.find_elements(By.CSS_SELECTOR, ".signals h3")] == ["top", "bottom"]


def test_tiles_slide_in_and_out(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Queue(4))))
    moving = [{"name": "prefers-reduced-motion", "value": "no-preference"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": moving})
    going = (
        "go(arguments[0]); go(arguments[1]);"
        "return [...document.querySelectorAll('.tile')].filter(tile => tile.getAnimations().length)"
        ".map(tile => [tile.firstChild.textContent, tile.style.opacity])"
    )
    assert ["d", "1"] in browser.execute_script(going, 2, 3), "comes in"
    assert ["a", "0"] in browser.execute_script(going, 11, 12), "goes out"
    assert browser.execute_script(going, 2, 9) == [], "a jump does not slide"


def test_the_heads_have_lanes_of_their_own_in_the_overview(browser: Chrome, tmp_path: Path) -> None:
    tall = "return document.querySelector('canvas').clientHeight"
    heights = []
    for memory in (Stack(4), Deque(4)):
        look(browser, save(tmp_path, half_and_half(memory)))
        heights.append(browser.execute_script(tall))
    assert heights[1] > heights[0] + 20


def test_a_bank_shows_each_of_its_memories(browser: Chrome, tmp_path: Path) -> None:
    memory = Bank([Stack(4), Tape(4)])
    logits = torch.randn(1, 9, memory.signals.size, generator=torch.Generator().manual_seed(0))
    seen = trace(memory, memory.signals.action(logits, torch.randn(1, 9, 2, 4)), input_text=[list("abcdefghi")])
    look(browser, save(tmp_path, seen))
    assert [name.text for name in browser.find_elements(By.CSS_SELECTOR, ".framed > .name")] == ["memory 1", "memory 2"]
    press(browser, Keys.END)
    held = "return [...document.querySelectorAll('.pile')].map(pile => pile.querySelectorAll('.tile').length > 0)"
    assert browser.execute_script(held) == [True, True]
    assert "reads" not in words(browser).split("Memory 2")[1]


def test_two_traces_are_played_side_by_side(browser: Chrome, tmp_path: Path) -> None:
    task = Reversal()
    torch.manual_seed(0)
    model = Controller(Stack(4), task.input_symbols, task.output_symbols, hidden_size=8, embedding_size=8)
    other = half_and_half(Queue(4), title="after")
    look(browser, save(tmp_path, trace(model, ["abc", "de"], task=task, title="before"), other))
    first, second = browser.find_elements(By.CLASS_NAME, "player")
    assert first.rect["y"] == second.rect["y"]
    assert [title.text for title in browser.find_elements(By.TAG_NAME, "h1")] == ["before", "after"]
    slide(browser, 3)
    assert symbols(browser, 1) == "abcd"
    assert first.find_element(By.CLASS_NAME, "glyph").text == "c"
    look(browser, tmp_path / "trace.html", width=390)
    first, second = browser.find_elements(By.CLASS_NAME, "player")
    assert first.rect["x"] == second.rect["x"], "below each other where there is no room"


def test_a_thousand_steps_draw_only_what_is_seen(browser: Chrome, tmp_path: Path) -> None:
    page = save(tmp_path, half_and_half(Stack(4), steps=500))
    look(browser, page)
    most = browser.execute_script(
        "let most = 0; for (let to = 0; to < 1000; to += 7) {"
        "  go(to); most = Math.max(most, document.querySelectorAll('.tile').length); } return most"
    )
    assert 10 < most < 80
    slide(browser, 499)
    assert "more" in browser.find_element(By.CLASS_NAME, "fold").text
    assert len(browser.find_elements(By.CLASS_NAME, "cell")) < 60
    assert log(browser, "browser") == []
