"""The monitor in a real browser: every page is looked at, and its charts and lists are used."""

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import expect

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.operate import changes
from tests.browser import DESKTOP, PHONE, cut, is_placed, picture, too_small, violations
from tests.busy_day import run
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

pytestmark = pytest.mark.browser

PARTS = 3  # of all pages, so that several processes look at them


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_no_page_is_closed_to_anybody(visit, busy_day, theme, part):
    """axe in both themes; no table is cut; on a phone no page scrolls sideways and no button is too small."""
    page, faults = visit("admin"), []
    page.on("pageerror", lambda error: faults.append((page.url, str(error))))
    for name, address in [*busy_day.pages().items()][part::PARTS]:
        busy_day.still_alive()
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme=theme)
        answer = page.goto(address)
        if answer.status >= 400 and not name.startswith("job unknown"):
            faults.append((name, answer.status))
        picture(page, f"{name} {theme}")
        page.evaluate("() => document.querySelectorAll('#content details').forEach((each) => { each.open = true; })")
        picture(page, f"{name} {theme} opened")
        faults += [(name, theme, fault) for fault in violations(page)]
        faults += [(name, "cut", fault) for fault in cut(page)]
        page.set_viewport_size(PHONE)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > PHONE["width"]:
            faults.append((name, f"{wide} px wide on a phone"))
        faults += [(name, "small", fault) for fault in too_small(page)]
        faults += [(name, "cut on a phone", fault) for fault in cut(page)]
        if not is_placed(page):
            faults.append((name, "the menu does not show where one is"))
        picture(page, f"{name} phone {theme}")
    assert not faults, "\n".join(map(str, faults))


def test_a_queue_is_drawn_and_told_as_a_table(visit, busy_day):
    page = visit("view")
    page.goto("/admin/monitor/queue/default")
    page.wait_for_selector('[data-chart="memory"] canvas')
    assert page.locator("[data-chart] canvas").count() == 7
    page.get_by_role("button", name="6 hours").click()
    page.wait_for_url("**/default?range=6h")
    page.locator(".charts summary").click()
    titles = page.locator("[data-chart-table] thead th").all_inner_texts()
    assert titles[-5:] == [
        "Running",
        "Retries, about",
        "Failed for good",
        "Oldest waiting job (s)",
        "Memory, about (MB)",
    ]
    column = page.locator(f"[data-chart-table] tbody tr td:nth-of-type({titles.index('Waiting')})")
    told = [text for text in column.all_inner_texts() if text != "–"]  # the minute that has just begun has no reading
    assert float(told[-1]) == queues.size("default")


def test_the_time_shown_is_moved_by_the_keyboard_and_kept_in_the_address(visit, busy_day):
    page = visit("view")
    page.goto("/admin/monitor/queue/default?range=6h")
    controls = page.get_by_role("group", name="End of the time shown")
    back, forward, now = (controls.get_by_role("button", name=name) for name in ("Back", "Forward", "Now"))
    field, told = controls.get_by_label("Until"), page.locator("[data-chart-when]")
    expect(forward).to_be_disabled()
    expect(told).to_have_text("Until now.")

    for _time in range(2):
        back.press("Enter")
    page.wait_for_url("**/default?range=6h&end=*Z")
    expect(told).to_contain_text("it does not refresh itself")
    address, chosen = page.url, field.input_value()
    page.reload()
    expect(field).to_have_value(chosen)
    assert page.url == address
    expect(now).to_have_attribute("aria-pressed", "false")
    then = timezone.now() - timedelta(hours=12)  # less what the browser took
    with page.expect_response("**/chart?*end=*") as answer:
        page.get_by_role("button", name="1 hour").click()
    assert abs(answer.value.json()["at"][-1] - then.timestamp()) < 600
    page.get_by_role("button", name="6 hours").click()

    forward.press("Enter")
    forward.press("Enter")
    page.wait_for_url("**/default?range=6h")
    assert page.evaluate("document.activeElement.textContent") == "Now"  # what had the focus is off
    field.fill("2019-05-01T12:00")
    expect(page.locator("[data-chart-note]")).to_have_text("Nothing is kept of that time any more.")
    now.press("Enter")
    page.wait_for_url("**/default?range=6h")
    expect(field).to_have_value("")
    expect(page.locator("[data-chart-note]")).not_to_have_text("Nothing is kept of that time any more.")


def test_what_is_told_of_a_task_follows_the_time_that_its_charts_show(visit, busy_day):
    run("slow", hours=5, duration=999.0)
    page = visit("view")
    slow = page.locator("#period a[href$='/job/slow']")
    page.goto("/admin/monitor/task/tests.jobs.tasks.add")
    expect(page.locator("#slowest-title")).to_be_visible()
    expect(slow).to_have_count(0)

    page.get_by_role("button", name="6 hours").click()
    expect(slow).to_have_count(1)
    page.get_by_role("button", name="1 hour").click()
    expect(slow).to_have_count(0)


def test_a_length_is_typed_and_kept_in_the_address(visit, busy_day):
    page = visit("view")
    page.goto("/admin/monitor/queue/default")
    field, note = page.get_by_label("Length"), page.locator("[data-chart-note]")
    hour = page.get_by_role("button", name="1 hour")
    expect(hour).to_have_attribute("aria-pressed", "true")

    field.fill("90 M")
    with page.expect_response("**/chart?range=90m*") as answer:
        field.press("Enter")
    assert len(answer.value.json()["at"]) == 90
    page.wait_for_url("**/default?range=90m")
    expect(hour).to_have_attribute("aria-pressed", "false")
    page.reload()
    expect(field).to_have_value("90m")
    before = timezone.now()
    with page.expect_response("**/chart?range=90m*end=*") as answer:
        page.get_by_role("button", name="Back").press("Enter")
    assert abs(answer.value.json()["at"][-1] - (before - timedelta(minutes=90)).timestamp()) < 180

    field.fill("a year")
    field.press("Enter")
    expect(note).to_contain_text("such as 90m, 36h or 10d")
    hour.press("Enter")
    expect(field).to_have_value("")
    expect(note).not_to_contain_text("such as")


def test_charts_write_times_as_the_reader_does(visit, busy_day):
    """The words drawn on a canvas are caught where it is asked to draw them."""
    page, drawn = visit("view"), "() => window.drawn"
    page.add_init_script(
        """window.drawn = []; const fill = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
            window.drawn.push(text); return fill.call(this, text, ...rest); };"""
    )

    def words(range_):
        page.goto(f"/admin/monitor/queue/default?range={range_}")
        page.wait_for_selector('[data-chart="memory"] canvas')
        page.locator(".charts summary").click()
        return page.evaluate(drawn), page.locator("[data-chart-table] tbody th").first.inner_text()

    marks, told = words("6h")
    assert any(word.endswith(("AM", "PM")) for word in marks)
    assert told.endswith(("AM", "PM"))
    page.locator('[data-chart="runs"] .u-over').hover()
    expect(page.locator('[data-chart="runs"] .u-legend .u-value').first).to_contain_text(re.compile("[AP]M"))

    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "zh-hans", "url": page.url}])
    marks, told = words("6h")
    assert not [word for word in marks if re.search("am|pm", word, re.I)]
    assert any(re.fullmatch(r"\d\d:\d\d", word) for word in marks)
    assert any(re.fullmatch(r"\d+月\d+日", word) for word in marks)
    assert re.fullmatch(r"\d{4}年\d+月\d+日 \d\d:\d\d", told)
    page.locator('[data-chart="runs"] .u-over').hover()
    legend = page.locator('[data-chart="runs"] .u-legend .u-value').first
    expect(legend).to_have_text(re.compile(r"\d{4}年\d+月\d+日 \d\d:\d\d"))
    marks, _told = words("30d")
    assert any(re.fullmatch(r"\d{4}年", word) for word in marks)


def test_a_part_of_a_bar_leads_to_its_jobs_by_the_keyboard(visit, busy_day):
    page = visit("view")
    page.goto("/admin/monitor/queues")
    page.locator("a.part.failed").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs?q=state%3Afailed+queue%3Adefault")
    assert page.locator("table.jobs tbody tr").count() == 1


def test_a_job_that_waits_is_found_by_its_id_and_its_asin(visit, busy_day):
    """The daily act: an id or an ASIN is pasted into the box, and what waits stands above what ran."""
    run("sold", search="B0LAMP0001")
    page = visit("operate")
    page.goto("/admin/monitor/jobs")
    box = page.get_by_label("Search")
    for text in (busy_day.waiting, f"id:{busy_day.waiting}"):
        box.fill(text)
        box.press("Enter")
        page.wait_for_selector("h2:has-text('Waiting, running and planned now (1)')")
        assert page.locator("table.jobs .state").all_inner_texts() == ["• queued"]
        assert busy_day.waiting in page.locator("table.jobs tbody a").get_attribute("href")

    box.fill("B0LAMP0001")
    box.press("Enter")
    page.wait_for_selector("h2:has-text('Waiting, running and planned now (2)')")
    present, history = page.locator("table.jobs").all()
    assert present.locator(".state").all_inner_texts() == ["• queued", "• queued"]
    assert history.locator(".state").all_inner_texts() == ["✓ succeeded"]
    assert violations(page) == []
    present.get_by_label("Choose all rows").check()
    expect(page.get_by_role("button", name="Act on the chosen")).to_contain_text("(2)")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    page.goto("/admin/monitor/jobs")
    page.get_by_role("link", name="Waiting 33").click()
    page.wait_for_selector("text=33 jobs match.")


def test_the_queues_are_sorted_by_the_keyboard_and_stay_so(visit, transactional_db):
    serve()  # on default alone
    for number in range(3):
        changes.one("move", tasks.add.enqueue(number, 1), "low")
    page = visit("operate", seconds=1)
    page.goto("/admin/monitor/queues")
    names = page.locator("table.dense tbody th a")
    assert names.all_inner_texts() == ["critical", "default", "low"]

    page.get_by_role("link", name="Waiting", exact=True).first.press("Enter")
    page.wait_for_url("**/queues?sort=-waiting")
    assert names.all_inner_texts()[0] == "low"
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Waiting")
    with page.expect_response("**/queues?sort=-waiting"):  # it refreshes itself
        tasks.add.enqueue_many([(number, 1) for number in range(5)])
    expect(names.first).to_have_text("default", timeout=10_000)
    assert violations(page) == []
    page.get_by_role("link", name="Waiting", exact=True).first.press("Enter")
    page.wait_for_url("**/queues?sort=waiting")
    assert names.all_inner_texts() == ["critical", "low", "default"]

    assert page.locator("table.dense .state.dead").all_inner_texts() == ["✕ no workers"] * 2
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    row = page.locator("table.dense tbody tr").first
    assert (
        row.locator("[data-label='Ended, failed today']").evaluate("each => getComputedStyle(each, '::before').content")
        == '"Ended, failed today"'
    )
    page.goto("/admin/")
    assert page.locator(".card .state.dead").count() == 2
