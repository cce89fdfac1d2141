"""The page of a trace in a real browser: headless Chromium, driven by selenium."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from ddstructs import Action, Bank, Controller, Deque, Memory, NoMemory, Queue, Stack, Tape, Trace, trace
from ddstructs.tasks import Reversal

EVIL = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt;",
    "\u2028",
    "'\"`${1}",
    "\ud800",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("NOT TESTED: THE PAGE IN A BROWSER. There is no chromium: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options, Service(driver, env=os.environ | {"HOME": str(profile)}))
    yield chrome
    chrome.quit()


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


def test_the_slider_moves_the_tiles(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4))))
    assert symbols(browser) == "a"
    slide(browser, 4)
    assert symbols(browser) == "abcde"
    heights = [height for _, height, _ in tiles(browser)]
    assert max(heights) - min(heights) < 0.2
    slide(browser, 14)
    assert symbols(browser) == "abcdefghi"
    assert browser.find_element(By.ID, "count").text == "step 15 of 24"
    slide(browser, 23)
    assert symbols(browser) == ""


def test_keys_work(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4))))
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert symbols(browser) == "abcd"
    press(browser, Keys.ARROW_LEFT)
    assert symbols(browser) == "abc"
    press(browser, Keys.PAGE_DOWN)
    assert browser.find_element(By.ID, "slider").get_attribute("value") == "12"
    press(browser, Keys.HOME)
    assert symbols(browser) == "a"
    press(browser, Keys.END)
    assert symbols(browser) == ""
    browser.find_element(By.ID, "slider").send_keys(Keys.ARROW_LEFT)
    assert browser.find_element(By.ID, "slider").get_attribute("value") == "22", "one step, not two"
    press(browser, Keys.HOME)
    press(browser, " ")
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Pause"
    press(browser, " ")
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Play"


def test_playing_continues_to_the_end(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4))))
    Select(browser.find_element(By.ID, "speed")).select_by_visible_text("very fast")
    browser.find_element(By.ID, "play").click()
    done = "const done = arguments[0], wait = () => step === 23 && !timer ? done(true) : setTimeout(wait, 20); wait()"
    browser.set_script_timeout(60)
    assert browser.execute_async_script(done)
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Play"


def test_it_opens_on_the_deepest_step_where_motion_is_unwelcome(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4))))
    browser.refresh()
    assert symbols(browser) == "abcdefghijkl"
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Play"


def test_it_plays_once_by_itself_and_ends_on_the_deepest_step(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4))), still=False)
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Pause"
    done = "const done = arguments[0], wait = () => timer ? setTimeout(wait, 20) : setTimeout(() => done(step), 50);"
    browser.set_script_timeout(60)
    assert browser.execute_async_script(f"document.getElementById('speed').value = 33; {done} wait()") == 11
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Play"


def test_who_takes_it_in_hand_ends_the_play_by_itself(browser: Chrome, tmp_path: Path) -> None:
    page = save(tmp_path, half_and_half(Stack(4)))
    look(browser, page, still=False)
    press(browser, Keys.HOME)
    assert symbols(browser) == "a"
    assert browser.find_element(By.ID, "play").get_attribute("aria-label") == "Play"
    for key in (" ", ""):
        look(browser, page, still=False)
        if key:
            press(browser, key)
        else:
            browser.find_element(By.ID, "play").click()
        assert browser.execute_script("return [timer, opening]") == [None, False]


def test_a_chooser_does_not_cut_a_symbol_in_two(browser: Chrome, tmp_path: Path) -> None:
    letters = [["a", *["\U0001f600"] * 47]] * 2
    look(browser, save(tmp_path, half_and_half(Stack(4), steps=24, rows=2, input_text=letters)))
    chooser = Select(browser.find_element(By.CSS_SELECTOR, ".rows select"))
    assert chooser.options[0].text == "1: a" + "\U0001f600" * 38 + "\u2026"


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


def test_a_long_strip_of_symbols_follows_the_cursor(browser: Chrome, tmp_path: Path) -> None:
    letters = [[f"verb{t}" for t in range(200)]]
    look(browser, save(tmp_path, half_and_half(Stack(4), steps=100, input_text=letters)))
    for step in (0, 100, 199):
        slide(browser, step)
        now = browser.find_element(By.CSS_SELECTOR, ".cell.now")
        assert now.text == f"verb{step}"
        strip = browser.find_element(By.CLASS_NAME, "tape").rect
        assert strip["x"] <= now.rect["x"] <= strip["x"] + strip["width"] - now.rect["width"]
        assert browser.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth", now)


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


def test_a_row_is_chosen(browser: Chrome, tmp_path: Path) -> None:
    letters = [list("abcdefgh"), list("ijklmnop")]
    look(browser, save(tmp_path, half_and_half(Stack(4), steps=4, rows=2, input_text=letters)))
    slide(browser, 2)
    chooser = Select(browser.find_element(By.CSS_SELECTOR, ".rows select"))
    assert [option.text for option in chooser.options] == ["1: abcdefgh", "2: ijklmnop"]
    chooser.select_by_index(1)
    assert symbols(browser) == "i"
    press(browser, Keys.END)
    assert words(browser).startswith("The input is \u201ci\u201d"), "keys in the chooser are the chooser's"


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


def test_a_screen_reader_announces_each_step(browser: Chrome, tmp_path: Path) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4), rows=2)))
    press(browser, Keys.ARROW_RIGHT)
    live = browser.find_element(By.ID, "live")
    assert live.get_attribute("aria-live") == "polite"
    assert live.get_attribute("textContent") == words(browser)
    assert browser.find_element(By.ID, "slider").get_attribute("aria-valuetext") == "step 2 of 24"
    label = browser.find_element(By.CLASS_NAME, "pile").get_attribute("aria-label")
    assert label == "Memory, 2.0 deep, from the bottom to the top: a b"
    names = browser.execute_script(
        "return [...document.querySelectorAll('button, input, select')].map(part =>"
        " part.getAttribute('aria-label') || (part.labels[0] && part.labels[0].textContent.trim()))"
    )
    assert all(names)


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


def test_a_frame_begins_to_play_when_it_comes_into_view(browser: Chrome, tmp_path: Path) -> None:
    far = '<div style="height: 9000px"></div>'
    page = f"<!DOCTYPE html><title>n</title>{far}{half_and_half(Stack(4))._repr_html_()}"
    (tmp_path / "notebook.html").write_text(page, encoding="utf-8")
    look(browser, tmp_path / "notebook.html", still=False)
    frame = browser.find_element(By.TAG_NAME, "iframe")

    def inside(script: str) -> Any:
        browser.switch_to.frame(frame)
        found = browser.execute_script(script)
        browser.switch_to.default_content()
        return found

    assert inside("return [step, timer, opening]") == [11, None, False]
    browser.execute_script("arguments[0].scrollIntoView()", frame)
    WebDriverWait(browser, 60).until(lambda _: inside("return opening"))


@pytest.mark.parametrize("width", [350, 390, 560])
def test_a_phone_shows_the_controls_in_two_rows(browser: Chrome, tmp_path: Path, width: int) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4), steps=500)), width=width)
    press(browser, Keys.END)
    parts = "[...document.querySelectorAll('.transport > div > *')].filter(part => part.offsetWidth > 1)"
    middles = sorted(browser.execute_script(f"return {parts}.map(part => part.offsetTop + part.offsetHeight / 2)"))
    assert sum(after - before > 10 for before, after in pairwise(middles)) == 1
    assert browser.execute_script("return byId('slider').offsetTop < byId('first').offsetTop")


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
