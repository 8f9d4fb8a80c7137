"""The page in headless Chromium: what is clicked, typed and linked does what it should, and quickly."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import chromium
import numpy as np
import pytest
import small_study
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from small_study import HOSTILE, SECRET

from reeval.judgements import Judgement
from reeval.page.inputs import Column, Inputs, load
from reeval.page.records import verdicts
from reeval.page.render import html
from reeval.pairs import Pair

Judged = dict[tuple[str, str], list[tuple[int, Judgement]]]  # (name, mode) -> its verdict and judgement of each pair


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return load(small_study.write(tmp_path_factory.mktemp("browser") / "study"), "")


@pytest.fixture(scope="module")
def page(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html(inputs, with_text=True), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 10,000 pairs."""
    given = small_study.pairs(10_000)
    columns = [
        Column(name, mode, "judge", {}, found)
        for name, modes in small_study.judgements(given).items()
        for mode, found in modes.items()
    ]
    path = tmp_path_factory.mktemp("many") / "page.html"
    path.write_text(html(Inputs({}, given, columns, {}), with_text=True), encoding="utf-8")
    return path


def visit(chrome: Chrome, page: Path, **state: str) -> None:
    chromium.look(chrome)
    chrome.get("about:blank")
    chromium.requests(chrome), chrome.get_log("browser")
    chrome.get(page.as_uri() + (f"#{urlencode(state)}" if state else ""))


@pytest.fixture(autouse=True)
def nothing_is_asked_for_and_nothing_complains(chrome: Chrome, page: Path) -> Iterator[None]:
    yield
    assert chrome.get_log("browser") == []
    assert {address.partition("#")[0] for address in chromium.requests(chrome)} <= {
        chrome.current_url.partition("#")[0]
    }
    assert chrome.execute_script("return window.hacked === undefined")


def all_of(chrome: Chrome, css: str) -> list[Any]:
    return chrome.find_elements(By.CSS_SELECTOR, css)


def one(chrome: Chrome, css: str) -> Any:
    return chrome.find_element(By.CSS_SELECTOR, css)


def count(chrome: Chrome) -> int:
    return int(one(chrome, "#count").text.split(" of ")[0].replace(",", ""))


def shown(chrome: Chrome) -> str:
    return one(chrome, "#detail h3").text


def choose(chrome: Chrome, **values: str) -> None:
    for name, value in values.items():
        Select(one(chrome, f"#{name}")).select_by_value(value)


def keys(chrome: Chrome, *pressed: str) -> None:
    ActionChains(chrome).send_keys(*pressed).perform()


def test_a_link_restores_the_pair_and_the_filters(chrome, page):
    visit(chrome, page)
    assert shown(chrome) == "p00000" and chrome.execute_script("return scrollY") == 0
    choose(chrome, judge="ours~two_pass", verdict="right", severity="insignificant", sort="id")
    keys(chrome, Keys.ESCAPE, "jj")
    expected, link, left = shown(chrome), chrome.current_url, count(chrome)
    assert expected != "p00000" and 0 < left < 24
    visit(chrome, page, **dict(part.split("=") for part in link.partition("#")[2].replace("%7E", "~").split("&")))
    assert shown(chrome) == expected and count(chrome) == left
    found = {name: one(chrome, f"#{name}").get_attribute("value") for name in ("judge", "verdict", "severity", "sort")}
    assert found == {"judge": "ours~two_pass", "verdict": "right", "severity": "insignificant", "sort": "id"}
    assert one(chrome, ".card.shown").get_attribute("aria-label") == "ours, two-pass"
    assert one(chrome, '.row[aria-selected="true"] .id').text == expected
    top, height = chrome.execute_script(
        "return [document.querySelector('#browser').getBoundingClientRect().top, innerHeight]"
    )
    assert 0 <= top < height / 2  # the pairs are in sight
    assert chrome.execute_script("return document.querySelector('#permalink').href") == chrome.current_url
    visit(chrome, page, pair=f"p00021{small_study.ODD}")
    assert shown(chrome) == f"p00021{small_study.ODD}"
    # Another link in the same page, and one to what is not there.
    chrome.execute_script("location.hash = 'pair=p00007&verdict=nonsense&judge=nobody'")
    assert shown(chrome) == "p00007" and count(chrome) == 24


def oracle(inputs: Inputs, **f: str) -> int:
    """What the filters should leave, reckoned from the records."""
    said: Judged = {
        (c.name, c.mode): list(zip(verdicts(inputs.pairs, c, 0), c.judged, strict=True)) for c in inputs.columns
    }

    def right(pair: Pair, verdict: int) -> str:
        gold = pair.significant
        return "failed" if verdict == -1 else "right" if verdict == gold else "missed" if gold else "over"

    def has(errors: Any) -> bool:
        wanted = [(name, f[name]) for name in ("aspect", "type", "severity") if name in f]
        return any(all(getattr(error, name) == value for name, value in wanted) for error in errors or ())

    left = 0
    for i, pair in enumerate(inputs.pairs):
        all_votes = {verdict[i][0] for verdict in said.values()}
        mine = [v[i] for key, v in said.items() if f.get("judge") in (None, "~".join(key))]
        outcomes = {right(pair, verdict) for verdict, _ in mine}
        if outcomes & {"missed", "over"}:
            outcomes.add("wrong")
        where = f.get("where", "gold")
        in_gold, in_verdict = (
            where != "verdict" and has(pair.errors),
            where != "gold" and any(has(j.errors) for _, j in mine),
        )
        texts = f"{pair.pair_id}\n{pair.reference_id}\n{pair.reference}\n{pair.candidate}".lower()
        left += all(
            [
                f.get("gold") in (None, "significant" if pair.significant else "insignificant"),
                f.get("identical") in (None, "only" if pair.identical else "no"),
                "verdict" not in f or f["verdict"] in outcomes,
                not {"aspect", "type", "severity"} & set(f) or in_gold or in_verdict,
                "disagree" not in f or {0, 1} <= all_votes,
                all(word in texts for word in f.get("q", "").lower().split()),
            ]
        )
    return left


FILTERS = [
    {},
    {"gold": "significant"},
    {"identical": "only"},
    {"identical": "no", "gold": "insignificant"},
    {"aspect": "laterality"},
    {"aspect": "finding", "where": "verdict"},
    {"aspect": "finding", "where": "verdict", "judge": "ours~one_pass"},
    {"aspect": "finding", "where": "either", "judge": "ours~one_pass"},
    {"type": "inaccuracy", "severity": "insignificant"},
    {"aspect": "laterality", "severity": "insignificant"},  # not of one error
    {"verdict": "failed"},
    {"verdict": "failed", "judge": "ours~one_pass"},
    {"verdict": "wrong", "judge": "ours~one_pass"},
    {"verdict": "missed", "judge": "ours~two_pass"},
    {"verdict": "over", "judge": "theirs~one_pass"},
    {"verdict": "right", "judge": "bleu~scalar"},
    {"verdict": "right"},
    {"disagree": "1"},
    {"disagree": "1", "verdict": "missed"},
    {"q": "P0001"},
    {"q": "number s3"},
    {"q": "onerror <img"},
    {"q": "no such words"},
]


@pytest.mark.parametrize("chosen", FILTERS, ids=lambda chosen: "-".join(chosen.values()) or "none")
def test_filters_leave_what_the_records_say(chrome, page, inputs, chosen):
    visit(chrome, page)
    if "disagree" in chosen:
        one(chrome, "#disagree").click()
    if "q" in chosen:
        one(chrome, "#q").send_keys(chosen["q"])
    choose(chrome, **{name: value for name, value in chosen.items() if name not in ("q", "disagree")})
    expected = oracle(inputs, **chosen)
    assert count(chrome) == expected
    assert (
        int(all_of(chrome, ".row")[0].get_attribute("aria-setsize")) == expected
        if expected
        else not all_of(chrome, ".row")
    )
    one(chrome, "#reset").click()
    assert count(chrome) == 24


def test_the_filters_tell_apart(inputs):
    """Else the test above shows little."""
    counts = [oracle(inputs, **chosen) for chosen in FILTERS]
    assert {0, 24} < set(counts) and len(set(counts)) >= 8


def test_the_share_that_is_right_stands_beside_the_count(chrome, page, inputs):
    visit(chrome, page, judge="ours~one_pass", gold="significant")
    right = oracle(inputs, judge="ours~one_pass", gold="significant", verdict="right")
    assert one(chrome, "#count").text.endswith(f"ours, one-pass right in {right}")


@pytest.mark.parametrize("order", ["id", "disagreement", "high", "low"])
def test_pairs_are_sorted(chrome, page, inputs, order):
    visit(chrome, page, sort=order, judge="ours~one_pass")
    listed = [row.text for row in all_of(chrome, ".row .id")]
    ours = next(column.judged for column in inputs.columns if column.mode == "one_pass" and column.name == "ours")
    chance = {judgement.pair_id: judgement.probability for judgement in ours}
    first_few = [chance[pair_id] for pair_id in listed]
    if order in ("high", "low"):
        assert first_few == sorted(first_few, reverse=order == "high") and len(set(first_few)) > 3
    elif order == "id":
        assert listed == sorted(listed)
    else:
        votes = {pair.pair_id: [] for pair in inputs.pairs}
        for column in inputs.columns:
            for pair, verdict in zip(inputs.pairs, verdicts(inputs.pairs, column, 0), strict=True):
                votes[pair.pair_id] += [verdict] if verdict >= 0 else []
        split = [min(np.mean(votes[i]), 1 - np.mean(votes[i])) for i in listed]
        assert split == sorted(split, reverse=True) and split[0] > split[-1]


def test_keys_move_search_and_help(chrome, page):
    visit(chrome, page)
    keys(chrome, "j", "j", "k")
    assert shown(chrome) == "p00001" and "pair=p00001" in chrome.current_url
    chrome.execute_script("document.querySelector('#list').focus()")
    keys(chrome, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert shown(chrome) == "p00003"
    keys(chrome, Keys.END, "j")
    assert shown(chrome) == "p00023" and one(chrome, '.row[aria-selected="true"] .id').is_displayed()
    keys(chrome, Keys.HOME, "k")
    assert shown(chrome) == "p00000"
    keys(chrome, "/", "p00017")
    assert one(chrome, "#q").get_attribute("value") == "p00017" and shown(chrome) == "p00017" and count(chrome) == 1
    keys(chrome, Keys.ESCAPE, "?")
    assert one(chrome, "#help").is_displayed()
    keys(chrome, "j")
    assert shown(chrome) == "p00017"
    keys(chrome, Keys.ESCAPE)
    assert not one(chrome, "#help").is_displayed()
    before = one(chrome, ".card.shown").get_attribute("data-source")
    keys(chrome, "]")
    after = one(chrome, ".card.shown").get_attribute("data-source")
    keys(chrome, "[")
    assert [before, after, one(chrome, ".card.shown").get_attribute("data-source")] == ["0", "1", "0"]


def test_a_row_is_chosen_by_a_click(chrome, page):
    visit(chrome, page, sort="id")
    all_of(chrome, ".row")[4].click()
    assert shown(chrome) == "p00004"
    one(chrome, '[aria-label="Next pair"]').click()
    assert shown(chrome) == "p00005"


def active(chrome: Chrome) -> dict[str, Any]:
    """What is highlighted: text of each report, and errors."""
    found: dict[str, Any] = {
        side: "".join(e.get_property("textContent") for e in all_of(chrome, f'[data-side="{side}"] .active'))
        for side in ("reference", "candidate")
    }
    return found | {"rows": [e.get_attribute("data-errors") for e in all_of(chrome, ".error.active")]}


def piece(chrome: Chrome, side: str, text: str) -> Any:
    """A piece of a report that is cut where spans begin and end."""
    return next(e for e in all_of(chrome, f'[data-side="{side}"] .seg') if e.get_property("textContent") == text)


def aside(chrome: Chrome) -> None:
    ActionChains(chrome).move_to_element(one(chrome, "#detail h3")).perform()


def test_a_span_leads_to_its_error_and_its_counterpart_and_back(chrome, page):
    side = {
        "reference": small_study.SIDE.reference_span,
        "candidate": small_study.SIDE.candidate_span,
        "rows": ["gold/0"],
    }
    size = {
        "reference": small_study.SIZE.reference_span,
        "candidate": small_study.SIZE.candidate_span,
        "rows": ["gold/1"],
    }
    nothing = {"reference": "", "candidate": "", "rows": []}
    visit(chrome, page, pair="p00000")  # their spans overlap
    assert one(chrome, '[data-side="reference"] .text').text.startswith(f"A small right {SECRET} effusion.")
    for where in ("candidate", "reference"):
        ActionChains(chrome).move_to_element(piece(chrome, where, " effusion")).perform()
        assert active(chrome) == side
        aside(chrome)
        assert active(chrome) == nothing
    ActionChains(chrome).move_to_element(one(chrome, '.error[data-errors="gold/1"]')).perform()
    assert active(chrome) == size
    one(chrome, '.error[data-errors="gold/1"]').click()
    aside(chrome)
    assert active(chrome) == size  # held
    assert one(chrome, '.error[data-errors="gold/1"]').get_attribute("aria-pressed") == "true"
    keys(chrome, Keys.ESCAPE)
    assert active(chrome) == nothing


def test_clicking_where_spans_overlap_goes_round(chrome, page):
    visit(chrome, page, pair="p00000", shown="theirs~one_pass")  # of which no span stands there
    seen = []
    for _ in range(3):
        piece(chrome, "candidate", "left ").click()
        aside(chrome)
        seen.append(active(chrome)["rows"])
    assert seen[2] == [] and sorted(seen[:2]) == [["gold/0"], ["gold/1"]]


def test_spans_are_reached_by_keyboard(chrome, page):
    visit(chrome, page, pair="p00002")
    chrome.execute_script("document.querySelector('[data-side=candidate] .seg[tabindex]').focus()")
    keys(chrome, Keys.ENTER)
    assert active(chrome)["rows"] == ["gold/0"] and active(chrome)["candidate"] == f"{SECRET} nodule"
    said = chrome.switch_to.active_element.get_attribute("aria-label")
    assert "gold: fabrication, finding, significant" in said


def test_the_second_of_two_equal_errors_has_the_second_place(chrome, page):
    visit(chrome, page, pair="p00001")
    marked = [e.get_attribute("data-errors").split()[0] for e in all_of(chrome, '[data-side="reference"] .seg')]
    assert marked == ["gold/0", "gold/1"]
    places = chrome.execute_script(
        "return [...document.querySelectorAll('[data-side=reference] .seg')].map(e => e.previousSibling.textContent)"
    )
    assert places[0].endswith("effusion. ") and places[1].startswith(". Nothing else")


def test_severity_is_told_without_colour(chrome, page):
    visit(chrome, page, pair="p00000", shown="ours~two_pass")

    def style(css: str, name: str) -> str:
        return chrome.execute_script(
            "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", css, name
        )

    assert style(".text .gold-significant:not(.gold-insignificant)", "textDecorationStyle") == "solid"
    assert style(".text .gold-insignificant:not(.gold-significant)", "textDecorationStyle") == "dotted"
    assert style(".text .box-significant:not(.box-insignificant)", "outlineStyle") == "solid"
    assert style(".text .box-insignificant:not(.box-significant)", "outlineStyle") == "dashed"


def test_a_span_that_stands_nowhere_says_so(chrome, page):
    visit(chrome, page, pair="p00000")
    card = one(chrome, '.card[aria-label="theirs, one-pass"]')
    rows = card.find_elements(By.CSS_SELECTOR, ".error")
    assert "not in the report" in rows[0].text and "nothing" in rows[0].text and "not in gold" in rows[0].text
    assert "other" in rows[1].text
    ours = one(chrome, '.card[aria-label="ours, two-pass"]').text
    assert "not in the report" not in ours and "is gold 1" in ours and "found by" in one(chrome, ".card.gold").text


def test_hostile_text_is_text(chrome, page):
    visit(chrome, page, pair="p00004")
    assert one(chrome, '[data-side="reference"] .text').get_property("textContent").startswith(HOSTILE)
    failed = one(chrome, '.card[aria-label="theirs, one-pass"]')
    assert "not parsed" in failed.text and f"{SECRET} is no verdict" in failed.text
    failed.find_element(By.CSS_SELECTOR, "summary").click()
    assert failed.find_element(By.CSS_SELECTOR, "pre").get_property("textContent") == HOSTILE
    assert not all_of(chrome, "#detail img") and not all_of(chrome, "#detail script")


def test_two_pass_answers_are_both_there_and_a_label_alone_is_said(chrome, page):
    visit(chrome, page, pair="p00005")
    assert "Graded as a whole" in one(chrome, ".card.gold").text
    assert len(all_of(chrome, '.card[aria-label="ours, two-pass"] pre')) == 2
    assert "score 0.2" in one(chrome, '.card[aria-label="bleu"]').text


def test_a_pair_that_is_only_ranked_shows_its_rank_and_what_was_said(chrome, tmp_path):
    ranked = [Pair(f"p{n}", "r", "right", f"left {n}", metadata={"rank": f"{n}"}) for n in (1, 2)]
    said = Column("ours", "one_pass", "judge", {}, [Judgement(p.pair_id, "ok", significant=True) for p in ranked])
    score = Column("bleu", "scalar", "scalar", {}, [Judgement(p.pair_id, "ok", score=0.5) for p in ranked])
    path = tmp_path / "page.html"
    path.write_text(html(Inputs({}, ranked, [said, score], {}), with_text=True), encoding="utf-8")
    visit(chrome, path, pair="p2")
    assert one(chrome, '.row[aria-selected="true"] .about').text == "not graded · level 2"
    assert one(chrome, "#detail .about").text == "reference r · 2 of 2 · level 2"
    assert one(chrome, ".card.gold .judgement").text == "not graded" and "Of level 2" in one(chrome, ".card.gold").text
    assert one(chrome, '.card[aria-label="ours, one-pass"] .judgement').text == "significant"
    assert one(chrome, '.card[aria-label="bleu"] .judgement').text.split("\n")[0].startswith("no verdict")
    marks = [mark.get_attribute("title") for mark in all_of(chrome, '.row[aria-selected="true"] .mark-of')]
    assert marks == ["ours, one-pass: significant", "bleu: no verdict"]


def test_without_text_all_else_works(chrome, inputs, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(html(inputs, with_text=False), encoding="utf-8")
    visit(chrome, path, pair="p00000")
    assert not all_of(chrome, ".report") and "not in this file" in one(chrome, "#detail").text
    assert (
        "inaccuracy · laterality" in one(chrome, ".card.gold").text
        and "p 0." in one(chrome, '.card[data-source="1"]').text
    )
    one(chrome, "#q").send_keys(SECRET)
    assert count(chrome) == 0
    one(chrome, ".empty button").click()
    one(chrome, "#q").send_keys("p00011")
    assert count(chrome) == 1 and shown(chrome) == "p00011"


MEASURE = """
const [id, value] = arguments, input = document.getElementById(id);
const start = performance.now();
input.value = value;
input.dispatchEvent(new Event(id === "q" ? "input" : "change", { bubbles: true }));
document.getElementById("list").getBoundingClientRect();
document.getElementById("detail").getBoundingClientRect();
return [performance.now() - start, document.getElementById("count").textContent, document.querySelectorAll("*").length];
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_ten_thousand_pairs_stay_quick(chrome, many, width):
    start = time.monotonic()
    visit(chrome, many)
    chromium.look(chrome, width=width)
    assert count(chrome) == 10_000 and time.monotonic() - start < 20
    steps = [("q", "p0123", 10), ("q", "number 42", None), ("q", "", 10_000), ("sort", "disagreement", 10_000)]
    steps += [
        ("sort", "high", 10_000),
        ("verdict", "wrong", None),
        ("aspect", "laterality", None),
        ("where", "either", None),
    ]
    for name, value, expected in steps:
        took, said, nodes = chrome.execute_script(MEASURE, name, value)
        assert took < 500, (name, value, took)
        assert nodes < 2500, (name, value, nodes)
        assert expected is None or said.startswith(f"{expected:,} of 10,000 pairs"), said
    one(chrome, "#reset").click()
    chrome.execute_script("document.querySelector('#list').focus()")
    keys(chrome, Keys.END)
    assert shown(chrome) == "p09999" and one(chrome, '.row[aria-selected="true"] .id').is_displayed()
    chrome.execute_script("document.querySelector('#list').scrollTop = 200000")
    time.sleep(0.2)
    visible = [int(row.get_attribute("aria-posinset")) for row in all_of(chrome, ".row")]
    assert min(visible) < 200000 / 46 + 1 < max(visible) and len(visible) < 80


CONTRASTS = """
const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => { for (; e; e = e.parentElement) {
  const c = channels(getComputedStyle(e).backgroundColor);
  if (c.length < 4 || c[3] > 0) return c;
} return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  if (e.closest("svg, script, noscript, option, dialog:not([open])")) continue;
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
  const style = getComputedStyle(e), a = light(channels(style.color)), b = light(ground(e));
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
  const enough = size >= 24 || (size >= 18.6 && style.fontWeight >= 700) ? 3 : 4.5;  // WCAG AA
  if (ratio < enough) bad.push([e.className, e.textContent.slice(0, 30), ratio]);
}
return bad;
"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_looks_right(chrome, page, tmp_path, width, height, dark):
    visit(chrome, page, pair="p00000")
    chromium.look(chrome, width=width, height=height, dark=dark)
    chrome.execute_script("document.querySelector('[data-errors=\"gold/0\"]').click(); scrollTo(0, 0)")
    chrome.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert chrome.execute_script(CONTRASTS) == []
    assert chrome.execute_script("return document.documentElement.scrollWidth") <= width  # nothing hangs out
    for name in ("top", "pairs"):
        chromium.screenshot(chrome, tmp_path / f"{name}.png")
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"), float)
        assert pixels.shape == (height, width)
        assert pixels.std() > 8 and (np.median(pixels) < 60) == dark and (np.median(pixels) > 200) != dark
        chrome.execute_script("document.querySelector('#browser').scrollIntoView()")


def test_every_control_has_a_name(chrome, page):
    visit(chrome, page, pair="p00000")
    nameless = """return [...document.querySelectorAll("input, select, button, a, [role=button], [role=listbox]")]
      .filter((e) => !(e.labels && e.labels.length) && !e.textContent.trim() && !e.getAttribute("aria-label"))
      .map((e) => e.outerHTML)"""
    assert chrome.execute_script(nameless) == []
    twice = """const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
      return ids.filter((id, i) => ids.indexOf(id) !== i)"""
    assert chrome.execute_script(twice) == []
    dangling = """return ["aria-labelledby", "aria-describedby", "for"].flatMap((name) =>
      [...document.querySelectorAll(`[${name}]`)].flatMap((e) => e.getAttribute(name).split(" ")))
      .filter((id) => !document.getElementById(id))"""
    assert chrome.execute_script(dangling) == []


def test_it_prints(chrome, page):
    visit(chrome, page, pair="p00000")
    printed = chrome.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    assert len(printed) > 20_000
