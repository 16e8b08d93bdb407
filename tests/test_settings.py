"""Settings: a wrong value stops the start with one sentence that names the variable and the mend, never the value."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECRET = "s3cr3t-Pa55"
READERS = (
    r"(?:text|flag|whole|dollars|address|choice|token|pattern|sender|hosts|networks|service_url|own|database|mail)"
)
SOURCES = [ROOT / "amazon_pilot" / name for name in ("settings.py", "addresses.py")]
VARIABLES = sorted(
    {name for path in SOURCES for name in re.findall(rf'\b{READERS}\(\s*"([A-Z_]+)"', path.read_text())} | {"EMAIL_URL"}
)
WHOLE = re.findall(r'whole\("([A-Z_]+)"', SOURCES[0].read_text())
DOLLARS = re.findall(r'dollars\("([A-Z_]+)"', SOURCES[0].read_text())
ADDRESSES = ("SITE_URL", "SANDBOX_URL", "APIFY_API_URL", "OPENAI_BASE_URL")
TOKENS = ("APIFY_TOKEN", "OPENAI_API_KEY", "METRICS_TOKEN", "SANDBOX_CONTROL_TOKEN")

# Each wrong value holds the secret where one can stand.
URLS = [
    "{scheme}://user:{secret}@host:port{end}",
    "{scheme}://user:{secret}@host:99999{end}",
    "{scheme}://user:{secret}@host:0{end}",
    "{scheme}://user:{secret}@host:-1{end}",
    "{scheme}://user:{secret}@host:٦٣{end}",
    "{scheme}://user:{secret}@[::1{end}",
    "{scheme}://user:{secret}@::1]:1{end}",
    "{scheme}://user:{secret}@[::zz]:1{end}",
    "{scheme}://user:{secret}@my host{end}",
    "{scheme}://user:{secret}@höst{end}",
    "{scheme}://user:{secret}#x@host{end}",
    "{scheme}://user:{secret}/x@host{end}",
    "{scheme}://user:{secret}?x@host{end}",
    "{scheme}://user:{secret}[@host{end}",
    "{scheme}://user:{secret}@host{end}?{secret}",
    "{scheme}://user:{secret}@host{end}?unknown={secret}",
    "gopher://user:{secret}@host{end}",
    "://user:{secret}@host{end}",
    "user:{secret}@host{end}",
    "$" + "{secret}",
    "{secret}",
    "{scheme}://user:{secret}\u202e@host{end}",
    "{scheme}://user:{secret}\udcff@host{end}",
    "{scheme}://user:{secret}\n@host{end}",
    # Written with a percent: half a character, a NUL, a line break.
    "{scheme}://user:{secret}%ff@host{end}",
    "{scheme}://user:{secret}%00@host{end}",
    "{scheme}://user:{secret}%0A@host{end}",
    "{scheme}://user:{secret}@[::1]{secret}{end}",
    "{scheme}://user:{secret}@[v1.x]:1{end}",
    "{scheme}://user:{secret}@ho..st{end}",
    "{scheme}://user:{secret}@" + "h" * 64 + "{end}",
]


def urls(scheme: str, end: str = "") -> list[str]:
    return [url.format(scheme=scheme, secret=SECRET, end=end) for url in URLS]


def wrong() -> dict[str, list[str]]:
    """Wrong values for every variable that is read; what a variable of its kind cannot be."""
    odd = [f"{SECRET}\udcff", f"{SECRET}\x01", f"{SECRET}\u200b\u202e"]
    numbers = [SECRET, "-1", "1.5", "１２", "1_0", "0x10", "9" * 5000, "1e3", "nan", "5 5", *odd]
    sums = [SECRET, "-1", "nan", "Infinity", "1e9", "٥", "$5", "5,00", "9" * 40, *odd]
    words = {"LANGUAGE_CODE", "LOG_LEVEL", "OPENAI_SCHEMA_MODE", "TIME_ZONE", "DEBUG", "DEFAULT_FROM_EMAIL", "SIGN_UP"}
    table = dict.fromkeys(VARIABLES, odd)
    table |= dict.fromkeys(WHOLE, numbers) | dict.fromkeys(DOLLARS, sums)
    table |= {
        name: [*urls("https"), *urls("http"), *urls("ftp"), f"https://{SECRET}@host", f"https://[::1]{SECRET}"]
        for name in ADDRESSES
    }
    table |= {name: [f"{SECRET} x", f"{SECRET}é", *odd] for name in TOKENS}
    table |= {name: [SECRET, f"{SECRET} {SECRET}", *odd] for name in words}
    table["DATABASE_URL"] = [
        *urls("postgres", "/pilot"), *urls("sqlite", "/x"), f"mysql://u:{SECRET}@host/name", "sqlite://", "sqlite:///",
        "sqlite://:memory:", f"sqlite:////nowhere/{SECRET}/x", "sqlite:////tmp", f"postgres://u:{SECRET}@host",
        f"postgres://u:{SECRET}@host/" + "n" * 64, f"postgres://u:{SECRET}@host/x?sslmode={SECRET}",
        f"postgres://u:{SECRET}@host/x?connect_timeout=soon", f"postgres://u:{SECRET}@host/x?sslrootcert=/nowhere",
        f"postgres://u:{SECRET}@host/x?password={SECRET}2", f"postgres://u:{SECRET}@host/x?target_session_attrs=best",
        f"postgres://u:{SECRET}@host/x?connect_timeout=-1", f"postgres://u:{SECRET}@host/x?connect_timeout=" + "9" * 20,
        f"postgres://u:{SECRET}@host/x?keepalives_idle=٣", f"postgres://u:{SECRET}@host/x?service={SECRET}",
        f"postgres://u:{SECRET}@host/x?application_name=%00", f"postgres://u:{SECRET}@host/x%FF",
        "sqlite:////" + "x" * 300, "sqlite:////etc/hosts", "sqlite:////dev/null", f"sqlite:////tmp/%00{SECRET}",
    ]  # fmt: skip
    table["REDIS_URL"] = [
        *urls("redis", "/0"), *urls("rediss", "/0"), *urls("redis+sentinel", "/jobs/0"), f"http://:{SECRET}@host",
        f"redis://:{SECRET}@host/x", f"redis://:{SECRET}@host/0/1", f"redis://:{SECRET}@host/0?db=1",
        f"redis://:{SECRET}@host?db=-1", f"redis://:{SECRET}@host?db=²", f"redis://:{SECRET}@host?db=1&db=2",
        f"redis://:{SECRET}@host?ssl_cert_reqs=none", f"redis://:{SECRET}@host?socket_timeout=nan",
        f"redis://:{SECRET}@a,b/0", f"redis://:{SECRET}@host?sentinel_password={SECRET}",
        f"rediss://:{SECRET}@host?ssl_cert_reqs=maybe", f"rediss://:{SECRET}@host?ssl_ca_certs=/nowhere/{SECRET}",
        f"rediss://:{SECRET}@host?ssl_ca_certs={ROOT}/README.md", f"rediss://:{SECRET}@host?ssl_keyfile=/nowhere",
        f"redis://:{SECRET}@host?socket_timeout=1_0", f"redis://:{SECRET}@host?socket_timeout=٣",
        f"rediss://:{SECRET}@host?ssl_ca_path=/nowhere/{SECRET}", f"rediss://:{SECRET}@host?ssl_ca_path=/etc/hosts",
        f"redis+sentinel://:{SECRET}@a,b/jobs?sentinel_password={SECRET}%ff", f"unix://:{SECRET}@/x%00.sock",
        f"rediss+sentinel://:{SECRET}@a/jobs?ssl_ca_certs=/nowhere", f"redis+sentinel://:{SECRET}@a,,b/jobs",
        f"rediss://:{SECRET}@host?ssl_check_hostname=perhaps", f"rediss://:{SECRET}@host?decode_responses=1",
        f"redis+sentinel://:{SECRET}@host", f"redis+sentinel:///jobs/0?sentinel_password={SECRET}",
        f"unix://:{SECRET}@", f"unix://:{SECRET}@host/x.sock", f"unix:///x.sock?db=one&{SECRET}=",
    ]  # fmt: skip
    table["EMAIL_URL"] = [
        *urls("smtp"), *urls("smtp+tls"), f"smtp://u:{SECRET}@", f"smtp://u:{SECRET}@host/{SECRET}",
        f"imap://u:{SECRET}@host",
    ]  # fmt: skip
    table["SITE_URL"] = [*table["SITE_URL"], "pilot.example", f"https://host/{SECRET}", f"https://host/?{SECRET}"]
    table["ALLOWED_HOSTS"] = [f"https://{SECRET}", f"{SECRET}:80", f"a b,{SECRET}", f"ü,{SECRET}", "[zz]", *odd]
    table["APIFY_API_URL"] = [*table["APIFY_API_URL"], "https://api.apify.com", f"https://host/{SECRET}"]
    table["APIFY_ACTOR"] = [f"{SECRET}/a/b", f"{SECRET} x", "a/../b?x", "..", "../..", "a/..", "./x", "a%2Fb", *odd]
    table["DEFAULT_FROM_EMAIL"] += ["a@b, c@d", "<a@b", "a@b>", "Name <a@b> <c@d>", "x <a@b> y", f"{SECRET}@", "a@b@c"]
    table["TIME_ZONE"] += ["America", "../UTC", "/etc/passwd", "Mars/Base"]
    table["VAR_DIR"] = ["/proc/nowhere", f"{ROOT}/README.md/{SECRET}", "/", "/tmp", str(ROOT), str(Path.home()), *odd]
    table["SECURE_SSL_REDIRECT"] = [SECRET, *odd]
    return table


# One process for all of them, which forks for each: Django takes long to import.
READ = """
import json, os, sys; sys.path.insert(0, os.getcwd())
import django.utils.translation, amazon_pilot.addresses, amazon_pilot.redis_address
for name, value, more in json.load(sys.stdin):
    sys.stdout.flush()
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    os.dup2(1, 2)
    os.environ |= {name: value} | more
    try:
        import amazon_pilot.settings
        print("ACCEPTED")
    except SystemExit as end:
        print(end)
    except BaseException as error:
        print("TRACEBACK", type(error))
    sys.stdout.flush()
    os._exit(0)
"""


def answers(tmp_path: Path, cases: list[tuple[str, str, dict[str, str]]]) -> list[str]:
    """What a process says that reads the settings with each of the values, one line for each of them."""
    env = {key: word for key, word in os.environ.items() if key not in VARIABLES}
    answer = subprocess.run(
        [sys.executable, "-c", READ],
        env=env | {"VAR_DIR": str(tmp_path / "var")},
        input=json.dumps(cases).encode(),
        capture_output=True,
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return answer.stdout.decode().splitlines()


def test_the_table_holds_every_variable_that_is_read():
    assert len(VARIABLES) > 40
    assert set(VARIABLES) <= set(wrong())


@pytest.mark.slow
@pytest.mark.parametrize("each", [4, pytest.param(1, marks=pytest.mark.long)])
def test_a_wrong_value_stops_the_start_with_one_sentence_that_does_not_repeat_it(tmp_path, each):
    https = {"SITE_URL": "https://pilot.example"}
    cases = [
        (name, value, https if name.startswith("SECURE_") else {})
        for name, values in wrong().items()
        for value in values[::each]
    ]

    said = answers(tmp_path, cases)

    assert len(cases) > 700 / each
    assert len(said) == len(cases)  # one line each
    for (name, value, _), line in zip(cases, said, strict=True):
        assert line.startswith(f"{name} cannot be used: "), (name, value, line)
        assert line.endswith("."), line
        assert SECRET not in line
        assert line.isprintable()


@pytest.mark.slow
def test_an_empty_or_blank_value_is_the_default(tmp_path):
    cases = [(name, value, {}) for name in VARIABLES for value in ("", "  ")]

    assert set(answers(tmp_path, cases)) == {"ACCEPTED"}


RIGHT = {
    "REDIS_URL": [
        "redis://:p@w%25%E5%AF%86@host", "redis+sentinel://:p%40w%25@a,b/jobs?sentinel_password=p%40w%25",
        "redis://host", "redis://:p%23w@host:1/2", "redis://u:p@[::1]:6379?db=2", "rediss://h?ssl_cert_reqs=none",
        "rediss://h/1?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=false", "unix:///a/b.sock?db=3&socket_timeout=5",
        "unix://u:p@/a/b.sock", "redis+sentinel://u:p@a:1,b,[::1]:2/jobs/3?sentinel_password=x",
        "rediss+sentinel://a/jobs", " redis://host ", "redis://my_redis:6379/0",
    ],
    "DATABASE_URL": [
        "postgres://u:p%2Fw@h:1/n", "postgres://u:p@w%25@h/n",
        "postgresql://u@[::1]/n?sslmode=require&connect_timeout=9", "psql://h/n",
        "postgres://u:p@a:5432,b:5433/n?target_session_attrs=read-write", "postgres:////var/run/postgresql/n",
    ],
    "EMAIL_URL": [
        "smtp://h", "smtp://u@x:p%25w@h", "smtp+tls://u:p%40@h:587", "smtps://h:465", "consolemail://", "memorymail://",
    ],
    "SITE_URL": ["https://pilot.example", "http://[::1]:8000/", "https://10.0.0.1:8443"],
    "ALLOWED_HOSTS": ["a.example, .b.example,[::1],10.0.0.1", "*"],
    "DEFAULT_FROM_EMAIL": ["a@b.example", "商品 <a@b.example>", '"Pilot, Amazon" <a@b>'],
    "DEBUG": ["true", "False", "1", "no", "ON"],
}  # fmt: skip


@pytest.mark.slow
def test_a_right_value_is_taken(tmp_path):
    cases = [(name, value, {}) for name, values in RIGHT.items() for value in values]

    said = answers(tmp_path, cases)

    assert [case for case, line in zip(cases, said, strict=True) if line != "ACCEPTED"] == []


@pytest.mark.later
def test_settings_that_only_disagree_say_so(tmp_path):
    paths = ("/sandbox/apify", "//sandbox/apify", "/./sandbox/apify", "/a/../sandbox/apify", "/%73andbox/apify")
    token = {"APIFY_TOKEN": SECRET}

    said = answers(tmp_path, [("APIFY_API_URL", f"http://web:8000{path}", token) for path in paths])

    assert len(said) == len(paths)
    for line in said:
        assert line.startswith("APIFY_API_URL cannot be used: it names the sandbox, though APIFY_TOKEN is set")
        assert SECRET not in line


@pytest.mark.parametrize(
    "content", [f"SECRET_KEY {SECRET}".encode(), f"x={SECRET}\xff".encode("latin-1"), f": {SECRET}=1".encode()]
)
def test_a_line_of_the_env_file_that_cannot_be_read_is_named_by_its_number_alone(tmp_path, content):
    path = tmp_path / ".env"
    path.write_bytes(b"# a comment\n\n" + content)
    code = f"from pathlib import Path\nfrom amazon_pilot.environment import load\nload(Path({str(path)!r}))"

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert answer.returncode == 1
    assert answer.stderr.startswith(".env cannot be used: ")
    assert len(answer.stderr.strip().splitlines()) == 1
    assert SECRET not in answer.stderr


@pytest.mark.slow
def test_a_command_ends_with_the_sentence_and_exit_code_1(process_env):
    env = process_env | {"REDIS_URL": f"redis://:{SECRET}@host:port/0"}

    answer = subprocess.run([sys.executable, "manage.py", "check"], env=env, capture_output=True, text=True)

    assert answer.returncode == 1
    assert answer.stderr.startswith("REDIS_URL cannot be used: write it like redis://")
    assert len(answer.stderr.strip().splitlines()) == 1
