"""Every environment variable is read here, once; docs/settings.md explains each of them.

A value that cannot be used stops the process with one sentence that names the variable and the mend.
"""

import hashlib
import ipaddress
import os
import secrets
import tempfile
import zoneinfo
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
env.read_env(BASE_DIR / ".env")


def read(name: str, kind: Callable[..., T], default: Any, mend: str) -> T:
    """Answer the variable `name` through django-environ's `kind`, or stop with a sentence that ends in `mend`."""
    try:
        return kind(name, default=default)
    except (ValueError, TypeError, InvalidOperation, ImproperlyConfigured):
        raise SystemExit(f"{name} is {env.str(name, default='')!r}, which cannot be used: {mend}") from None


def whole(name: str, default: int, least: int, most: int) -> int:
    """Answer a whole number between two bounds, both included."""
    mend = f"set it to a whole number from {least} to {most}, or leave it out for {default}."
    value = read(name, env.int, default, mend)
    if not least <= value <= most:
        raise SystemExit(f"{name} is {value}, which cannot be used: {mend}")
    return value


def dollars(name: str, default: str) -> Decimal:
    """Answer an amount in US dollars, zero or more."""
    mend = f"set it to an amount in US dollars such as {default}, or leave it out."
    value = read(name, lambda key, default: Decimal(env.str(key, default=default)), default, mend)
    if not value.is_finite() or value < 0:
        raise SystemExit(f"{name} is {value}, which cannot be used: {mend}")
    return value


def address(name: str, default: str) -> str:
    """Answer an http or https address without a trailing slash."""
    value = env.str(name, default=default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SystemExit(f"{name} is {value!r}, which cannot be used: write a whole address such as {default}.")
    return value


def choice(name: str, default: str, words: tuple[str, ...]) -> str:
    """Answer one of `words`."""
    value = env.str(name, default=default)
    if value not in words:
        raise SystemExit(f"{name} is {value!r}, which cannot be used: set it to one of {', '.join(words)}.")
    return value


def networks(name: str) -> list[str]:
    """Return a list of IP networks, empty when none is named."""
    mend = "write networks such as 10.20.0.0/16, separated by commas, or leave it out."
    value: list[str] = env.list(name, default=[])
    try:
        return [str(ipaddress.ip_network(network.strip())) for network in value]
    except ValueError:
        raise SystemExit(f"{name} is {','.join(value)!r}, which cannot be used: {mend}") from None


# Where the product keeps what it writes: the database, Redis's append-only file, sent mail, the generated key.
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var"))).resolve()
try:
    VAR_DIR.mkdir(parents=True, exist_ok=True)
except OSError as error:
    raise SystemExit(
        f"VAR_DIR is {str(VAR_DIR)!r}, which cannot be used: {error.strerror}. Name a folder that can be written."
    ) from None


def generated_key() -> str:
    """Answer the key kept in var/secret_key, made at the first start and readable by its owner only."""
    path = VAR_DIR / "secret_key"
    try:
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


DEBUG = read("DEBUG", env.bool, False, "set it to true or false.")
SECRET_KEY = env.str("SECRET_KEY", default="") or generated_key()
PORT = whole("PORT", 8000, 1, 65535)
SITE_URL = address("SITE_URL", f"http://127.0.0.1:{PORT}")
SITE_HOST = str(urlsplit(SITE_URL).hostname)
ALLOWED_HOSTS = [*env.list("ALLOWED_HOSTS", default=[]), SITE_HOST, "127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [SITE_URL]
TRUSTED_PROXIES = whole("TRUSTED_PROXIES", 0, 0, 10)

# A site that is served over https says so in SITE_URL; then cookies and addresses are held to it.
if SITE_URL.startswith("https://"):
    SECURE_SSL_REDIRECT = read("SECURE_SSL_REDIRECT", env.bool, True, "set it to true or false.")
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = whole("SECURE_HSTS_SECONDS", 31_536_000, 0, 63_072_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "amazon_pilot.jobs",  # before django_rq: our rqworker and rqscheduler are the ones found
    "amazon_pilot.sandbox",
    "products",
    "analysis",
    "notifications",
    "django_rq",
    "django_htmx",
    "django_prometheus",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "amazon_pilot.http.viewers_zone",
    "amazon_pilot.http.audit_source",
    "amazon_pilot.http.PlainErrors",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
CSRF_FAILURE_VIEW = "amazon_pilot.jobs.web.api_errors.csrf_failure"  # scripts read JSON
ROOT_URLCONF = "amazon_pilot.urls"
WSGI_APPLICATION = "amazon_pilot.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "products.context_processors.shell",
            ]
        },
    }
]

# Database: SQLite in var/ unless another one is named. A write transaction takes its lock at the start (immediate),
# since an upgrade from a read lock fails at once instead of waiting; ten slots then queue up within the timeout.
DATABASES = {
    "default": read(
        "DATABASE_URL",
        env.db,
        f"sqlite:///{VAR_DIR / 'pilot.sqlite3'}",
        "write it like postgres://user:password@host:5432/name, or leave it out for SQLite in var/.",
    )
}
DATABASES["default"]["ATOMIC_REQUESTS"] = True
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"] |= {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}
else:
    raise SystemExit("DATABASE_URL names a database that is not supported: use sqlite:// or postgres://.")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "products:list"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = choice("LANGUAGE_CODE", "en", ("en", "zh-hans"))
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
if TIME_ZONE not in zoneinfo.available_timezones():
    raise SystemExit(f"TIME_ZONE is {TIME_ZONE!r}, which cannot be used: write a zone such as Europe/Berlin or UTC.")

STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

# Redis carries the jobs. Without REDIS_URL the bundled server (amazon_pilot/embedded.py) listens on a Unix socket
# that only its owner may open. A socket's path may hold 107 bytes, so a deep checkout keeps it in the temporary folder.
REDIS_SOCKET = VAR_DIR / "redis.sock"
if len(str(REDIS_SOCKET)) > 100:
    REDIS_SOCKET = Path(tempfile.gettempdir()) / f"pilot-{hashlib.sha256(str(VAR_DIR).encode()).hexdigest()[:16]}.sock"
REDIS_URL = env.str("REDIS_URL", default="")
REDIS_IS_EMBEDDED = not REDIS_URL


# A command is tried again for so many seconds while Redis is away: redis-py alone gives up after 5, too early for a
# job that has something to write. A request must not wait so long: wsgi.py sets 2.
REDIS_PATIENCE_SECONDS = whole("REDIS_PATIENCE_SECONDS", 60, 0, 600)


def redis_config(url: str) -> dict[str, Any]:
    """Take a Redis address apart for django-rq, which ignores REDIS_CLIENT_KWARGS beside a URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise SystemExit(
            f"REDIS_URL is {url.split('@')[-1]!r}, which cannot be used: "
            "write it like redis://:password@host:6379/0 or unix:///path/to/redis.sock, or leave it out."
        )
    path = parts.path if parts.scheme == "unix" else ""
    number = parse_qs(parts.query).get("db", ["0"])[0] if path else (parts.path.strip("/") or "0")
    if not number.isdigit():
        raise SystemExit(
            f"REDIS_URL ends in {number!r}, which cannot be used: end it with a database number such as /0."
        )
    client: dict[str, Any] = {
        "retry": Retry(ExponentialWithJitterBackoff(base=0.5, cap=3), REDIS_PATIENCE_SECONDS * 2 // 5 + 1),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
        "health_check_interval": 15,
        "socket_connect_timeout": 3,
    }
    if path:
        client["unix_socket_path"] = path
    return {
        "HOST": parts.hostname or "localhost",
        "PORT": parts.port or 6379,
        "DB": int(number),
        "USERNAME": unquote(parts.username) if parts.username else None,
        "PASSWORD": unquote(parts.password) if parts.password else None,
        "SSL": parts.scheme == "rediss",
        "REDIS_CLIENT_KWARGS": client,
    }


REDIS = redis_config(REDIS_URL or f"unix://{REDIS_SOCKET}?db=0")

# Queues, most important first, with the weights by which a free slot chooses among those that hold work.
QUEUE_WEIGHTS = {"critical": 6, "default": 3, "low": 1}
WORKER_CONCURRENCY = whole("WORKER_CONCURRENCY", 10, 1, 200)
# A worker that is told to leave waits so many seconds for its jobs, then gives them back to their queues.
WORKER_GRACE_SECONDS = whole("WORKER_GRACE_SECONDS", 30, 0, 3600)
# A slot makes room for a fresh one after so many jobs, or between jobs when it has grown to half of this memory;
# a task cannot have more than all of it.
WORKER_SLOT_JOBS = whole("WORKER_SLOT_JOBS", 10_000, 1, 1_000_000)
WORKER_SLOT_MEMORY_MB = whole("WORKER_SLOT_MEMORY_MB", 512, 64, 65_536)
JOB_FAILURE_TTL = 30 * 86_400  # seconds for which Redis keeps a failed job; its history is in JobRun
# For how many days rows of the engine are kept; jobs/retention.py says which, and shows what a change would delete.
RETENTION_SUCCEEDED_DAYS = whole("RETENTION_SUCCEEDED_DAYS", 30, 1, 3650)
RETENTION_FAILED_DAYS = whole("RETENTION_FAILED_DAYS", 90, 1, 3650)
RETENTION_AUDIT_DAYS = whole("RETENTION_AUDIT_DAYS", 400, 1, 3650)
RETENTION_FIRES_DAYS = whole("RETENTION_FIRES_DAYS", 90, 7, 3650)  # Redis knows what it was sent for a week
RETENTION_BULK_DAYS = whole("RETENTION_BULK_DAYS", 90, 1, 3650)
RQ_QUEUES = {name: REDIS | {"DEFAULT_TIMEOUT": 180, "SERIALIZER": "json"} for name in QUEUE_WEIGHTS}
RQ = {
    "JOB_CLASS": "amazon_pilot.jobs.core.registry.JSONJob",
    "SCHEDULER_CLASS": "amazon_pilot.jobs.schedule.scheduler.PilotScheduler",
    "COMMIT_MODE": "on_db_commit",
    "DEFAULT_RESULT_TTL": 3600,
}

# The schedule that every installation starts with; docs/schedule.md explains the words. An operator's edit wins.
SCHEDULE: dict[str, dict[str, Any]] = {
    "daily-update": {
        "cron": "0 9 * * *",
        "task": "products.tasks.update_due_products",
        "args": ["daily"],
        "queue": "default",
    },
    "hourly-update": {
        "cron": "@hourly",
        "task": "products.tasks.update_due_products",
        "args": ["hourly"],
        "queue": "critical",
    },
    "six-hourly-update": {
        "cron": "0 */6 * * *",
        "task": "products.tasks.update_due_products",
        "args": ["six_hourly"],
        "queue": "default",
    },
    "competitor-analysis": {
        "cron": "0 2 * * 0",
        "task": "analysis.tasks.analyse_due_comparisons",
        "args": [],
        "queue": "low",
    },
    "cleanup": {"cron": "0 3 * * *", "task": "amazon_pilot.jobs.tasks.cleanup", "args": [], "queue": "low"},
    # On the queue that is paused and clogged last: charts look at most a quarter of an hour beyond what it has counted.
    "tally": {"cron": "* * * * *", "task": "amazon_pilot.jobs.tasks.tally", "args": [], "queue": "critical"},
    # What a crash or an emptied Redis left behind; the rows know (products/tasks.resume_unfinished).
    "resume": {"cron": "* * * * *", "task": "products.tasks.resume_unfinished", "args": [], "queue": "default"},
    "optimization-analysis": {
        "cron": "0 1 * * 0",
        "task": "analysis.tasks.optimise_due_products",
        "args": [],
        "queue": "low",
    },
}
SCHEDULER_INTERVAL = 1.0  # seconds between two looks at the schedule; a known fire is awaited to the millisecond
SCHEDULER_SYNC_INTERVAL = 60.0  # seconds after which rows and Redis are compared again
SCHEDULER_LEASE = 10  # seconds until another scheduler takes over from one that fell silent
SCHEDULER_SILENCE = 30.0  # seconds without a tick after which the health check fails
SCHEDULE_GRACE = timedelta(seconds=60)  # a fire that is later than this was missed, and the entry's policy decides
SCHEDULE_MISSED_WINDOW = timedelta(days=1)  # how old a missed fire may be and still run; each entry may say otherwise
MONITOR_TILES = "amazon_pilot.business.tiles"  # the product's own numbers on the overview
MONITOR_RELATED = "amazon_pilot.business.related"  # the rows that a job's arguments name
RQ_SHOW_ADMIN_LINK = False
RQ_API_TOKEN = ""

# Apify and OpenAI. Without a token the sandbox serves both, from this site's own address.
SANDBOX_TOKEN = "sandbox"  # noqa: S105 - opens nothing but the sandbox
APIFY_TOKEN = env.str("APIFY_TOKEN", default="")
APIFY_API_URL = address("APIFY_API_URL", "https://api.apify.com" if APIFY_TOKEN else f"{SITE_URL}/sandbox/apify")
OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = address(
    "OPENAI_BASE_URL", "https://api.openai.com/v1" if OPENAI_API_KEY else f"{SITE_URL}/sandbox/openai/v1"
)
SANDBOX_SERVES = [name for name, url in (("Apify", APIFY_API_URL), ("OpenAI", OPENAI_BASE_URL)) if "/sandbox/" in url]
for variable, token, url in (
    ("APIFY_TOKEN", APIFY_TOKEN, APIFY_API_URL),
    ("OPENAI_API_KEY", OPENAI_API_KEY, OPENAI_BASE_URL),
):
    if not token and "/sandbox/" not in url:
        raise SystemExit(
            f"{variable} is empty, but {url} is not the sandbox: set {variable}, or leave the address out."
        )
APIFY_TOKEN = APIFY_TOKEN or SANDBOX_TOKEN
OPENAI_API_KEY = OPENAI_API_KEY or SANDBOX_TOKEN
APIFY_ACTOR = env.str("APIFY_ACTOR", default="axesso_data/amazon-product-details-scraper")
APIFY_USD_PER_RESULT = dollars("APIFY_USD_PER_RESULT", "0.0015")
APIFY_DAILY_BUDGET_USD = dollars("APIFY_DAILY_BUDGET_USD", "5.00")
OPENAI_MODEL = env.str("OPENAI_MODEL", default="gpt-4.1-mini")
OPENAI_SCHEMA_MODE = choice("OPENAI_SCHEMA_MODE", "json_schema", ("json_schema", "json_object"))
# The most that one answer may hold, its reasoning included, and the name under which the server knows this limit.
OPENAI_MAX_OUTPUT_TOKENS = whole("OPENAI_MAX_OUTPUT_TOKENS", 4000, 100, 1_000_000)
OPENAI_LIMIT_PARAMETER = choice("OPENAI_LIMIT_PARAMETER", "auto", ("auto", "max_completion_tokens", "max_tokens"))
OPENAI_USD_PER_MILLION_INPUT = dollars("OPENAI_USD_PER_MILLION_INPUT", "0.40")
OPENAI_USD_PER_MILLION_CACHED = dollars("OPENAI_USD_PER_MILLION_CACHED", "0.10")
OPENAI_USD_PER_MILLION_OUTPUT = dollars("OPENAI_USD_PER_MILLION_OUTPUT", "1.60")
OPENAI_DAILY_BUDGET_USD = dollars("OPENAI_DAILY_BUDGET_USD", "1.00")  # of each user, as the next
OPENAI_MONTHLY_BUDGET_USD = dollars("OPENAI_MONTHLY_BUDGET_USD", "20.00")
OPENAI_TOTAL_DAILY_BUDGET_USD = dollars("OPENAI_TOTAL_DAILY_BUDGET_USD", "20.00")  # of the installation, as the next
OPENAI_TOTAL_MONTHLY_BUDGET_USD = dollars("OPENAI_TOTAL_MONTHLY_BUDGET_USD", "200.00")

# Webhooks go to public addresses only, but for these networks of the operator's own, plain http included.
WEBHOOK_PRIVATE_NETWORKS = networks("WEBHOOK_PRIVATE_NETWORKS")

# Mail goes to files in var/mail until EMAIL_URL names a server.
EMAIL_CONFIG = read(
    "EMAIL_URL",
    env.email_url,
    f"filemail://{VAR_DIR / 'mail'}",
    "write it like smtp+tls://user:password@host:587, or leave it out to keep mail in var/mail.",
)
EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"]
EMAIL_HOST = EMAIL_CONFIG.get("EMAIL_HOST", "")
EMAIL_PORT = EMAIL_CONFIG.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = EMAIL_CONFIG.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = EMAIL_CONFIG.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = EMAIL_CONFIG.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL_CONFIG.get("EMAIL_USE_SSL", False)
EMAIL_FILE_PATH = str(VAR_DIR / "mail")
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Amazon Pilot <pilot@localhost>")

# A token that lets Prometheus read /metrics without a login; empty means that a login is needed.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

LOG_LEVEL = choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # httpx2 logs the address of each request at INFO, which drowns what our own code says.
    "loggers": {name: {"level": "WARNING"} for name in ("httpx", "httpx2", "httpcore2", "apify_client", "openai")},
}
