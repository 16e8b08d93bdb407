"""The monitor in a real browser: every page is looked at, and every role presses what it may."""

import os
import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from amazon_pilot.jobs.core import keys, queues
from amazon_pilot.jobs.models import AuditEntry, BulkAction, Pause, ScheduleEntry
from amazon_pilot.jobs.operate import changes
from tests.busy_day import as_failed, run
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.jobs.schedule_world import make_entry, queued
from tests.staff import ROLES, serve

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

pytestmark = pytest.mark.browser

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
SHOTS = os.environ.get("MONITOR_SHOTS", "")  # a folder for pictures of every page, to be looked at by a person
PARTS = 3  # of all pages, so that several processes look at them


@pytest.fixture(scope="module")
def chromium():
    # Playwright keeps an event loop in this thread, at which Django would refuse the test's own queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium).")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def visit(chromium, live_server, client):
    """Sign somebody in who has a role, and answer the browser's page."""
    opened = []

    def sign_in(role, seconds=0):
        """`seconds` is how often pages refresh themselves; 0 is never."""
        user = User.objects.create_user(f"{role}-er", password="x", is_staff=True)
        schedule = {
            "view": ["view_scheduleentry", "view_fire", "view_pause", "view_auditentry"],
            "operate": ["operate_schedule"],
            "edit": ["add_scheduleentry", "change_scheduleentry"],
            "admin": ["delete_scheduleentry"],
        }
        names = [name for each in list(schedule)[: list(schedule).index(role) + 1] for name in schedule[each]]
        allowed = Permission.objects.filter(codename__in=ROLES[role] + names, content_type__app_label="jobs")
        user.user_permissions.set(allowed)
        client.force_login(user)
        context = chromium.new_context(base_url=live_server.url, viewport=DESKTOP)
        context.set_default_timeout(30_000)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
        context.add_init_script(f"localStorage.setItem('monitor.seconds', '{seconds}')")
        opened.append(context)
        return context.new_page()

    yield sign_in
    for context in opened:
        context.close()


STILL = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("* { transition: none !important }");
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
}"""


def violations(page, **options) -> list[str]:
    """Answer what axe finds against a page, one line for each thing."""
    page.evaluate(STILL)  # else axe sees a colour on its way
    found = axe.run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['target']} {each['nodes'][0]['failureSummary']}"
        for each in found
    ]


def too_small(page) -> list[str]:
    """Answer the buttons that a thumb misses: lower or narrower than 24 px (WCAG 2.5.8)."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#content button, #content summary, #content select")]
            .filter((each) => each.checkVisibility()).map((each) => [each, each.getBoundingClientRect()])
            .filter(([each, box]) => box.width < 24 || box.height < 23.5)
            .map(([each, box]) => `${each.tagName} ${each.textContent.trim()} ${box.width} x ${box.height}`)"""
    )


def cut(page) -> list[str]:
    """Answer the tables that are cut sideways; the one of a chart's figures may be, it has a column for each line."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#content .wide, #changelist .results")]
            .filter((each) => each.checkVisibility() && !each.querySelector("[data-chart-table]"))
            .filter((each) => each.scrollWidth > each.clientWidth)
            .map((each) => `${each.getAttribute("aria-label") ?? each.className} ${each.scrollWidth} px`)"""
    )


def is_placed(page) -> bool:
    """Tell whether the menu marks one page, and shows it without being scrolled, once it knows of a new width."""
    try:
        page.wait_for_function(
            """() => {
                const marked = document.querySelectorAll(".monitor-nav [aria-current]");
                const box = marked[0]?.getBoundingClientRect();
                return marked.length === 1 && box.left >= 0 && box.right <= innerWidth;
            }""",
            timeout=3000,
        )
    except sync_api.TimeoutError:
        return False
    return True


def picture(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name.replace(' ', '_')}.png", full_page=True)


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


# What each role presses


def job_page(job_id: str) -> str:
    return f"/admin/monitor/job/{job_id}"


def status(job_id: str) -> str:
    found: Any = queues.connection().hget(f"rq:job:{job_id}", "status")
    return found.decode()


def act(page, verb: str, reason: str = "") -> None:
    """Open a button's sheet, give a reason, press it, and wait for the message that tells what came of it."""
    page.click(f"summary:has-text('{verb}')")
    sheet = page.locator(f"details[open]:has(> summary:has-text('{verb}'))")
    if reason:
        sheet.get_by_label("Reason").fill(reason)
    sheet.locator("button.act").click()
    page.wait_for_selector(".messagelist li")


def audited() -> list[tuple[str, str, str, int]]:
    """Answer who did what to what for which reason, and how many it changed; the oldest first."""
    lines = AuditEntry.objects.order_by("pk").values_list("actor__username", "action", "reason", "count")
    return list(lines)


def tab_to(page, text: str) -> None:
    """Press Tab until what has the focus is called so."""
    for _press in range(80):
        page.keyboard.press("Tab")
        name = page.evaluate(
            "() => { const e = document.activeElement; return (e.labels?.[0] ?? e).textContent.trim(); }"
        )
        if name.startswith(text):
            return
    raise AssertionError(f"no Tab leads to {text!r}")


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
    sync_api.expect(forward).to_be_disabled()
    sync_api.expect(told).to_have_text("Until now.")

    for _time in range(2):
        back.press("Enter")
    page.wait_for_url("**/default?range=6h&end=*Z")
    sync_api.expect(told).to_contain_text("it does not refresh itself")
    address, chosen = page.url, field.input_value()
    page.reload()
    sync_api.expect(field).to_have_value(chosen)
    assert page.url == address
    sync_api.expect(now).to_have_attribute("aria-pressed", "false")
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
    sync_api.expect(page.locator("[data-chart-note]")).to_have_text("Nothing is kept of that time any more.")
    now.press("Enter")
    page.wait_for_url("**/default?range=6h")
    sync_api.expect(field).to_have_value("")
    sync_api.expect(page.locator("[data-chart-note]")).not_to_have_text("Nothing is kept of that time any more.")


def test_what_is_told_of_a_task_follows_the_time_that_its_charts_show(visit, busy_day):
    run("slow", hours=5, duration=999.0)
    page = visit("view")
    slow = page.locator("#period a[href$='/job/slow']")
    page.goto("/admin/monitor/task/tests.jobs.tasks.add")
    sync_api.expect(page.locator("#slowest-title")).to_be_visible()
    sync_api.expect(slow).to_have_count(0)

    page.get_by_role("button", name="6 hours").click()
    sync_api.expect(slow).to_have_count(1)
    page.get_by_role("button", name="1 hour").click()
    sync_api.expect(slow).to_have_count(0)


def test_a_length_is_typed_and_kept_in_the_address(visit, busy_day):
    page = visit("view")
    page.goto("/admin/monitor/queue/default")
    field, note = page.get_by_label("Length"), page.locator("[data-chart-note]")
    hour = page.get_by_role("button", name="1 hour")
    sync_api.expect(hour).to_have_attribute("aria-pressed", "true")

    field.fill("90 M")
    with page.expect_response("**/chart?range=90m*") as answer:
        field.press("Enter")
    assert len(answer.value.json()["at"]) == 90
    page.wait_for_url("**/default?range=90m")
    sync_api.expect(hour).to_have_attribute("aria-pressed", "false")
    page.reload()
    sync_api.expect(field).to_have_value("90m")
    before = timezone.now()
    with page.expect_response("**/chart?range=90m*end=*") as answer:
        page.get_by_role("button", name="Back").press("Enter")
    assert abs(answer.value.json()["at"][-1] - (before - timedelta(minutes=90)).timestamp()) < 180

    field.fill("a year")
    field.press("Enter")
    sync_api.expect(note).to_contain_text("such as 90m, 36h or 10d")
    hour.press("Enter")
    sync_api.expect(field).to_have_value("")
    sync_api.expect(note).not_to_contain_text("such as")


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
    sync_api.expect(page.locator('[data-chart="runs"] .u-legend .u-value').first).to_contain_text(re.compile("[AP]M"))

    page.context.add_cookies([{"name": settings.LANGUAGE_COOKIE_NAME, "value": "zh-hans", "url": page.url}])
    marks, told = words("6h")
    assert not [word for word in marks if re.search("am|pm", word, re.I)]
    assert any(re.fullmatch(r"\d\d:\d\d", word) for word in marks)
    assert any(re.fullmatch(r"\d+月\d+日", word) for word in marks)
    assert re.fullmatch(r"\d{4}年\d+月\d+日 \d\d:\d\d", told)
    page.locator('[data-chart="runs"] .u-over').hover()
    legend = page.locator('[data-chart="runs"] .u-legend .u-value').first
    sync_api.expect(legend).to_have_text(re.compile(r"\d{4}年\d+月\d+日 \d\d:\d\d"))
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
    sync_api.expect(page.get_by_role("button", name="Act on the chosen")).to_contain_text("(2)")
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
    sync_api.expect(names.first).to_have_text("default", timeout=10_000)
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


def test_who_may_view_finds_no_button_and_a_forged_one_is_refused(visit, busy_day):
    page, before = visit("view"), audited()
    names = (
        "overview",
        "queues",
        "queue",
        "tasks",
        "task",
        "workers",
        "stuck",
        "job waiting",
        "job failed",
        "pauses",
        "failures",
    )
    for name in names:
        page.goto(busy_day.pages()[name])
        assert page.locator("#content form[method=post]:not(#changelist-form)").count() == 0, name
    page.goto("/admin/jobs/scheduleentry/")
    assert page.locator("select[name=action]").count() == 0

    forged = [
        f"job/{busy_day.failed}/retry",
        f"job/{busy_day.waiting}/delete",
        "pause",
        "resume",
        "queue/default/drain",
    ]
    forged += ["worker/w1/stop", "stuck/recover", "bulk/start", f"bulk/{busy_day.bulk.pk}/abort"]
    forged += [f"bulk/{busy_day.bulk_deleted.pk}/restore", "job/deleted/restore"]
    for address in forged:
        code = page.evaluate(
            """async (address) => (await fetch(address, {method: "POST", headers: {
                "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value}})).status""",
            f"/admin/monitor/{address}",
        )
        assert code == 403, address
    assert status(busy_day.failed) == "failed"
    assert status(busy_day.waiting) == "queued"
    assert audited() == before


def test_an_operator_retries_with_the_keyboard_alone(visit, transactional_db):
    job_id = as_failed(tasks.add.enqueue(1, 2))
    page = visit("operate", seconds=1)
    page.goto(job_page(job_id))

    tab_to(page, "Retry now")
    page.keyboard.press("Enter")
    tab_to(page, "Reason")
    page.keyboard.type("Apify is back")
    tab_to(page, "Retry now")
    page.keyboard.press("Enter")

    page.wait_for_selector("text=The job is back on its queue.")
    assert status(job_id) == "queued"
    assert audited() == [("operate-er", "retry", "Apify is back", 1)]
    assert page.locator("summary:has-text('Delete')").count() == 0


def test_an_operator_holds_and_releases_while_the_page_refreshes_itself(visit, transactional_db):
    """The job moves to a later time while the form is open: the form stays, and acts on what is."""
    job_id = tasks.add.enqueue(1, 2)
    page = visit("operate", seconds=1)
    page.goto(job_page(job_id))

    page.click("summary:has-text('Hold')")
    page.get_by_label("Reason").locator("visible=true").fill("Wait for the fix")
    changes.one("snooze", job_id, (timezone.now() + timedelta(days=1)).timestamp())
    page.wait_for_timeout(1500)  # a refresh would be due, and must not take the open form away
    page.locator("details[open] button.act").click()
    page.wait_for_selector("text=The job is held until somebody releases it.")
    assert status(job_id) == "deferred"
    act(page, "Release")
    page.wait_for_selector("text=The job was released.")
    assert status(job_id) == "scheduled"
    assert [line[1] for line in audited()] == ["hold", "release"]


def test_an_operator_has_a_planned_job_run_now(visit, transactional_db):
    job_id = tasks.add.enqueue_in(timedelta(hours=2), 1, 2)
    page = visit("operate")
    page.goto(job_page(job_id))

    act(page, "Run now", "No need to wait")

    page.wait_for_selector("text=it is the next of its queue")
    assert status(job_id) == "queued"
    assert audited() == [("operate-er", "run now", "No need to wait", 1)]
    assert page.locator("summary:has-text('Run now')").count() == 0


def test_a_page_stops_asking_when_its_job_has_ended(visit, transactional_db):
    job_id = tasks.add.enqueue(1, 2)
    page, asked = visit("view", seconds=1), []
    page.goto(job_page(job_id))
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert any(job_id in url for url in asked)

    changes.cancel(job_id)
    page.wait_for_selector("[data-settled]", state="attached")
    page.wait_for_selector("form.refresh", state="hidden")
    asked.clear()
    page.wait_for_timeout(2500)

    assert not [url for url in asked if job_id in url]
    assert "Cancelled before it started" in page.inner_text("#live")


def test_an_operator_pauses_and_resumes_a_queue(visit, transactional_db):
    page = visit("operate", seconds=1)
    page.goto("/admin/monitor/queue/low")

    act(page, "Pause", "Apify is down")
    assert "queue:low" in queues.paused()
    pause = Pause.objects.active().get()
    assert (pause.by.username, pause.reason) == ("operate-er", "Apify is down")
    page.goto("/admin/")
    page.wait_for_selector(".card.paused:has-text('Apify is down')")
    page.goto("/admin/monitor/queues")
    page.locator("tr:has-text('low') button:has-text('Resume')").click()
    page.wait_for_selector("text=low goes on.")
    assert "queue:low" not in queues.paused()
    assert [line[1:] for line in audited()] == [("pause", "Apify is down", 1), ("resume", "", 1)]


def test_an_editor_edits_retries_and_deletes(visit, transactional_db):
    job_id = as_failed(tasks.add.enqueue(1, 2))
    page = visit("edit")
    page.goto(job_page(job_id))

    page.click("summary:has-text('Edit arguments')")
    page.get_by_label("Arguments, as JSON").fill("[3,")
    page.click("text=Run with these arguments")
    page.wait_for_selector("#edit-error:has-text('This is not JSON')")
    assert page.get_by_label("Arguments, as JSON").input_value() == "[3,"
    assert violations(page) == []
    page.get_by_label("Arguments, as JSON").fill("[3, 4]")
    page.click("text=Run with these arguments")
    page.wait_for_selector("text=A new job was enqueued")
    new = page.url.rpartition("/")[2]
    assert changes.find(new).args == [3, 4]
    assert changes.find(job_id).args == [1, 2]

    page.click(f"a:has-text('{job_id}')")  # its copy leads to it
    act(page, "Delete", "Not needed")
    page.wait_for_selector("text=The job was deleted")
    assert changes.find(job_id) is None
    page.click(".messagelist a:has-text('Bring back')")
    page.wait_for_selector("text=There is no such job")
    page.get_by_label("Reason").fill("Needed after all")
    page.click("button:has-text('Bring back')")
    page.wait_for_selector("text=The job is back where it was")
    assert status(job_id) == "failed"
    assert [line[1:] for line in audited()] == [
        ("edit", "", 1), ("delete", "Not needed", 1), ("restore", "Needed after all", 1)
    ]  # fmt: skip


def test_an_administrator_drains_a_queue_and_stops_a_worker(visit, start, redis):  # noqa: F811
    page = visit("admin", seconds=1)
    Pause.objects.begin("queue:low", by=None, reason="Filling up")
    for number in range(20):
        changes.one("move", tasks.add.enqueue(number, 1), "low")
    worker = start()

    page.goto("/admin/monitor/queue/low")
    page.click("summary:has-text('Delete all that waits')")
    page.get_by_label("Type “low” to confirm").fill("low")
    page.locator("#drain-reason").fill("A wrong upload")
    page.click("text=Drain the queue")
    page.wait_for_selector("text=The 20 jobs that wait are deleted in the background.")
    wait_for(lambda: not queued(redis, "low"), "the drain")
    wait_for(lambda: audited() == [("admin-er", "drain", "A wrong upload", 20)], "the line of audit")

    page.goto("/admin/monitor/workers")
    act(page, "Stop", "A new version")
    assert worker.popen.wait(40) == 0
    page.wait_for_selector("text=No worker was seen within an hour.")  # the page learns by itself that it left
    assert audited()[1] == ("admin-er", "stop", "A new version", 1)


def test_an_operator_pauses_a_schedule_entry_and_runs_it_now(visit, transactional_db, redis):
    make_entry("stock", cron="30 2 * * *")
    page = visit("operate")

    def choose(action: str) -> None:
        page.goto("/admin/jobs/scheduleentry/")
        page.check("tr:has-text('stock') input.action-select")
        page.select_option("select[name=action]", action)
        page.click("button[name=index]")

    choose("pause")
    page.wait_for_selector("#id_reason")
    assert violations(page) == []
    page.fill("#id_reason", "Stocktaking")
    page.click("[name=apply]")
    page.wait_for_selector("text=Paused by operate-er: Stocktaking")
    assert ScheduleEntry.objects.get().is_paused
    choose("run_now")
    page.wait_for_selector("text=Entries run now: 1.")
    assert len(queued(redis)) == 1
    assert {line[0] for line in audited()} == {"operate-er"}
    assert page.locator(".addlink").count() == 0  # who operates does not write entries


def test_an_operator_retries_the_rows_that_were_chosen(visit, start):  # noqa: F811
    jobs = [as_failed(tasks.add.enqueue(number, 1)) for number in range(3)]
    page = visit("operate", seconds=1)
    page.goto("/admin/monitor/jobs?q=state%3Afailed")

    assert page.get_by_role("button", name="Act on the chosen").is_disabled()
    for job_id in jobs[:2]:
        page.check(f"input[value='{job_id}']")
    page.click("button:has-text('Act on the chosen (2)')")
    page.click("nav[aria-label='What to do'] >> text=Retry")
    page.get_by_label("Reason").fill("Apify is back")
    page.click("button:has-text('Retry (2)')")
    page.wait_for_url("**/bulk/*")
    start()

    page.wait_for_selector(".state:has-text('Done')")  # the page learns it by itself
    wait_for(lambda: [status(job_id) for job_id in jobs] == ["finished", "finished", "failed"], "the two jobs")
    assert BulkAction.objects.get().changed == 2
    assert [line[:3] for line in audited()] == [("operate-er", "retry", "Apify is back")]


def test_the_rows_of_the_history_offer_nothing_that_has_no_preview(visit, busy_day):
    page = visit("admin")
    page.goto("/admin/jobs/jobrun/?outcome=failed")

    assert page.locator("#result_list tbody tr").count() == 2
    assert page.locator("select[name=action], input.action-select").count() == 0
    page.goto("/admin/monitor/jobs?q=outcome%3Afailed")
    page.click("text=Act on all that match")
    page.click("nav[aria-label='What to do'] >> text=Retry")
    page.wait_for_selector("text=are looked at.")
    assert audited() == [("boss", "pause", "Apify is down", 1)]


def test_chosen_rows_stay_still_and_a_bar_tells_of_new_ones(visit, transactional_db):
    jobs = tasks.add.enqueue_many([(number, 1) for number in range(3)])
    page = visit("operate", seconds=1)
    page.goto("/admin/monitor/jobs?q=state%3Aqueued")
    bar, rows = page.locator("[data-changed]"), page.locator("table.jobs tbody tr")
    page.check(f"input[value='{jobs[1]}']")
    page.wait_for_timeout(1500)  # one look has found nothing new
    sync_api.expect(bar.get_by_role("button")).to_be_hidden()

    first = tasks.add.enqueue(7, 1)
    sync_api.expect(bar).to_contain_text("1 new job")
    tasks.add.enqueue(8, 1)
    sync_api.expect(bar).to_contain_text("2 new jobs")
    assert rows.count() == 3
    assert violations(page) == []
    bar.get_by_role("button", name="Show").press("Enter")
    assert rows.count() == 5
    assert page.locator("[data-choose]:checked").evaluate_all("all => all.map(each => each.value)") == [jobs[1]]
    sync_api.expect(page.get_by_role("button", name="Act on the chosen")).to_contain_text("(1)")
    sync_api.expect(bar.get_by_role("button")).to_be_hidden()

    changes.delete(first)
    sync_api.expect(bar).to_contain_text("The list has changed")
    assert rows.count() == 5
    page.uncheck(f"input[value='{jobs[1]}']")  # it goes on by itself
    sync_api.expect(rows).to_have_count(4)
    sync_api.expect(bar.get_by_role("button")).to_be_hidden()


def test_everything_is_reached_by_keys_which_can_be_switched_off(visit, busy_day):
    page = visit("operate", seconds=1)
    page.goto("/admin/")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/monitor/queues")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") == "critical"
    page.keyboard.press("/")
    page.wait_for_url(re.compile("/monitor/jobs(#q)?$"))
    box = page.get_by_label("Search")
    sync_api.expect(box).to_be_focused()

    page.keyboard.type("state:queued g q ?x")
    assert box.input_value() == "state:queued g q ?x"
    assert page.locator("dialog[open]").count() == 0
    box.fill("state:queued")
    box.press("Enter")
    page.wait_for_url("**/jobs?q=state*")
    for key in ("j", "j", "k", "j", "x"):
        page.keyboard.press(key)
    chosen = page.locator("[data-choose]").nth(1)
    sync_api.expect(chosen).to_be_checked()
    sync_api.expect(page.get_by_role("button", name="Act on the chosen")).to_contain_text("(1)")
    page.keyboard.press("x")
    sync_api.expect(chosen).not_to_be_checked()
    with page.expect_response("**/jobs?q=state*"):  # a refresh does not lose the row
        pass
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/job/{busy_day.waiting}")

    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    sync_api.expect(dialog).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    dialog.get_by_label("Keys are on").uncheck()
    page.keyboard.press("Escape")
    sync_api.expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("?")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_timeout(300)
    assert page.url.endswith(busy_day.waiting)
    sync_api.expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Keys").click()
    dialog.get_by_label("Keys are on").check()
    dialog.get_by_role("button", name="Close").click()
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url("**/admin/")


def test_a_row_says_why_it_waits(visit, busy_day):
    Pause.objects.begin("task:tests.jobs.tasks.add", by=User.objects.get(username="boss"), reason="Apify is down")
    page = visit("view")
    page.goto("/admin/monitor/jobs?q=state%3Aqueued+task%3Atasks.add")
    assert page.locator("td .why").first.inner_text() == "task:tests.jobs.tasks.add is paused by boss"
    assert cut(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.goto("/admin/monitor/jobs?q=state%3Ascheduled")
    assert page.locator("td .why").inner_text().startswith("planned for 20")


def test_an_administrator_types_the_number_of_very_many_and_stops_the_action(visit, transactional_db, redis):
    jobs = tasks.add.enqueue_many([(number, 1) for number in range(1001)])
    for job_id in jobs:
        as_failed(job_id)
    page = visit("admin", seconds=1)
    page.goto("/admin/monitor/jobs?q=state%3Afailed")

    page.click("text=Act on all that match")
    page.click("nav[aria-label='What to do'] >> text=Delete")
    page.get_by_label("Reason").fill("A wrong upload")
    page.get_by_label("Type 1001 to confirm").fill("1000")
    page.locator("form.sheet button.act").click()
    page.wait_for_selector("text=type the number of jobs to confirm")
    assert not BulkAction.objects.exists()
    page.get_by_label("Reason").fill("A wrong upload")
    page.get_by_label("Type 1001 to confirm").fill("1,001")
    page.locator("form.sheet button.act").click()

    page.wait_for_url("**/bulk/*")
    page.click("button:has-text('Stop')")
    page.wait_for_selector(".state:has-text('Aborted')")
    assert BulkAction.objects.get().aborted_by.username == "admin-er"
    assert redis.zcard("rq:failed:default") == 1001


def test_the_log_of_a_running_job_is_followed_until_its_reader_scrolls(visit, busy_day):
    page = visit("view")

    def grow(lines):
        busy_day.still_alive()
        text = "".join(f"line {number}\n" for number in range(lines))
        queues.connection().set(keys.log("pilot-live"), text, ex=600)

    def refreshed(lines):
        grow(lines)
        page.evaluate("() => { document.body.dispatchEvent(new Event('tick')); }")
        page.wait_for_function(
            "last => document.querySelector('pre[data-follow]').textContent.includes(last)", arg=f"line {lines - 1}\n"
        )
        return page.evaluate(
            "() => { const box = document.querySelector('pre[data-follow]');"
            " return [box.scrollTop, box.scrollHeight - box.clientHeight - box.scrollTop]; }"
        )

    grow(200)
    page.goto(busy_day.pages()["job running"])
    page.wait_for_selector("pre[data-follow]")
    assert refreshed(250)[1] < 8
    page.evaluate("document.querySelector('pre[data-follow]').scrollTop = 100")
    assert refreshed(300)[0] == 100
    page.evaluate("document.querySelector('pre[data-follow]').scrollTop = 1e6")
    assert refreshed(350)[1] < 8


def test_the_head_of_a_phone_is_one_line(visit):
    page = visit("admin")
    page.set_viewport_size(PHONE)
    page.goto("/admin/monitor/jobs")

    tops = page.eval_on_selector_all(
        "#site-name a, #user-tools :is(a, button)",
        "all => all.filter(one => one.offsetParent).map(one => one.getBoundingClientRect())",
    )

    assert len(tops) >= 3
    assert max(each["bottom"] for each in tops) < 50
    assert max(each["right"] for each in tops) <= PHONE["width"]
