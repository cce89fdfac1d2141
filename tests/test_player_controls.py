"""The controls of the page of a trace: the slider, the keys, the choosers, and when it plays by itself."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from player import half_and_half, look, press, save, slide, symbols, tiles, words
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from ddstructs import Stack


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


def test_a_chooser_does_not_cut_a_symbol_in_two(browser: Chrome, tmp_path: Path) -> None:
    letters = [["a", *["\U0001f600"] * 47]] * 2
    look(browser, save(tmp_path, half_and_half(Stack(4), steps=24, rows=2, input_text=letters)))
    chooser = Select(browser.find_element(By.CSS_SELECTOR, ".rows select"))
    assert chooser.options[0].text == "1: a" + "\U0001f600" * 38 + "\u2026"


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


@pytest.mark.parametrize("width", [350, 390, 560])
def test_a_phone_shows_the_controls_in_two_rows(browser: Chrome, tmp_path: Path, width: int) -> None:
    look(browser, save(tmp_path, half_and_half(Stack(4), steps=500)), width=width)
    press(browser, Keys.END)
    parts = "[...document.querySelectorAll('.transport > div > *')].filter(part => part.offsetWidth > 1)"
    middles = sorted(browser.execute_script(f"return {parts}.map(part => part.offsetTop + part.offsetHeight / 2)"))
    assert sum(after - before > 10 for before, after in pairwise(middles)) == 1
    assert browser.execute_script("return byId('slider').offsetTop < byId('first').offsetTop")
