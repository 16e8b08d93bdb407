"""The monitor in a real browser: every role presses what it may, by mouse and by keyboard."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from amazon_pilot.jobs.core import keys, queues
from amazon_pilot.jobs.models import AuditEntry, BulkAction, Pause, ScheduleEntry
from amazon_pilot.jobs.operate import changes
from tests.browser import DESKTOP, PHONE, cut, tab_to, violations
from tests.busy_day import as_failed
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.jobs.schedule_world import make_entry, queued

pytestmark = pytest.mark.browser


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
    expect(bar.get_by_role("button")).to_be_hidden()

    first = tasks.add.enqueue(7, 1)
    expect(bar).to_contain_text("1 new job")
    tasks.add.enqueue(8, 1)
    expect(bar).to_contain_text("2 new jobs")
    assert rows.count() == 3
    assert violations(page) == []
    bar.get_by_role("button", name="Show").press("Enter")
    assert rows.count() == 5
    assert page.locator("[data-choose]:checked").evaluate_all("all => all.map(each => each.value)") == [jobs[1]]
    expect(page.get_by_role("button", name="Act on the chosen")).to_contain_text("(1)")
    expect(bar.get_by_role("button")).to_be_hidden()

    changes.delete(first)
    expect(bar).to_contain_text("The list has changed")
    assert rows.count() == 5
    page.uncheck(f"input[value='{jobs[1]}']")  # it goes on by itself
    expect(rows).to_have_count(4)
    expect(bar.get_by_role("button")).to_be_hidden()


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
    expect(box).to_be_focused()

    page.keyboard.type("state:queued g q ?x")
    assert box.input_value() == "state:queued g q ?x"
    assert page.locator("dialog[open]").count() == 0
    box.fill("state:queued")
    box.press("Enter")
    page.wait_for_url("**/jobs?q=state*")
    for key in ("j", "j", "k", "j", "x"):
        page.keyboard.press(key)
    chosen = page.locator("[data-choose]").nth(1)
    expect(chosen).to_be_checked()
    expect(page.get_by_role("button", name="Act on the chosen")).to_contain_text("(1)")
    page.keyboard.press("x")
    expect(chosen).not_to_be_checked()
    with page.expect_response("**/jobs?q=state*"):  # a refresh does not lose the row
        pass
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/job/{busy_day.waiting}")

    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.set_viewport_size(DESKTOP)
    dialog.get_by_label("Keys are on").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.reload()
    page.keyboard.press("?")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_timeout(300)
    assert page.url.endswith(busy_day.waiting)
    expect(dialog).to_be_hidden()
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
