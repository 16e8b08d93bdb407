"""Every environment variable is read here, once; docs/settings.md explains each of them.

A value that cannot be used stops the process with one sentence that names the variable and the mend.
"""

import hashlib
import hmac
import secrets
import tempfile
import zoneinfo
from datetime import timedelta
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.utils.translation import gettext_lazy as _

from amazon_pilot import addresses, redis_address
from amazon_pilot.environment import (
    address,
    choice,
    dollars,
    flag,
    hosts,
    load,
    networks,
    pattern,
    refuse,
    sender,
    text,
    token,
    whole,
)
from amazon_pilot.folder import own

BASE_DIR = Path(__file__).resolve().parent.parent
# A checkout holds everything side by side. An installed package keeps templates, texts and styles within itself, and
# works in the folder in which it is started.
IS_CHECKOUT = (BASE_DIR / "manage.py").exists()
HOME_DIR = BASE_DIR if IS_CHECKOUT else Path.cwd()
ASSETS_DIR = BASE_DIR if IS_CHECKOUT else BASE_DIR / "amazon_pilot" / "assets"
# Code of ours, where the cause of a failure is looked for.
OUR_FOLDERS = (
    [BASE_DIR] if IS_CHECKOUT else [BASE_DIR / name for name in ("products", "analysis", "notifications", "accounts")]
)
load(HOME_DIR / ".env")

# Where the product keeps what it writes: the database, Redis's append-only file, sent mail, the generated key.
VAR_DIR = own("VAR_DIR", Path(text("VAR_DIR", str(HOME_DIR / "var"))))


def generated_key() -> str:
    """Answer the key kept in var/secret_key, made at the first start and readable by its owner only."""
    path = VAR_DIR / "secret_key"
    try:
        with open(path, "x") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    return path.read_text()


DEBUG = flag("DEBUG", False)
SECRET_KEY = text("SECRET_KEY") or generated_key()
PORT = whole("PORT", 8000, 1, 65535)
SITE_URL = address("SITE_URL", f"http://127.0.0.1:{PORT}")
if urlsplit(SITE_URL).path:
    refuse("SITE_URL", "write it without a path, since the product is served at the root of its host.")
SITE_HOST = urlsplit(SITE_URL).netloc.removesuffix(f":{urlsplit(SITE_URL).port}")  # IPv6 keeps its brackets
ALLOWED_HOSTS = [*hosts("ALLOWED_HOSTS"), SITE_HOST, "127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [SITE_URL]
TRUSTED_PROXIES = whole("TRUSTED_PROXIES", 0, 0, 10)

# A site that is served over https says so in SITE_URL; then cookies and addresses are held to it.
if SITE_URL.startswith("https://"):
    SECURE_SSL_REDIRECT = flag("SECURE_SSL_REDIRECT", True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # What the other processes of this site ask without TLS, from inside.
    SECURE_REDIRECT_EXEMPT = [r"^health$", r"^metrics$", r"^sandbox/(apify|openai|pictures)/", r"^hooks/apify/"]
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
    "accounts",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_rq",
    "django_tasks",
    "axes",
    "csp",
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
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "amazon_pilot.http.browser_policies",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "amazon_pilot.http.plain_texts",
    "amazon_pilot.http.methods_told",
    "django.middleware.common.CommonMiddleware",
    "amazon_pilot.http.shown_overrides",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "amazon_pilot.http.viewers_zone",
    "accounts.choices.chosen_words",
    "accounts.teams.TeamMiddleware",
    "amazon_pilot.http.audit_source",
    "amazon_pilot.http.PlainErrors",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
CSRF_FAILURE_VIEW = "amazon_pilot.errors.csrf_failure"  # scripts read JSON
ROOT_URLCONF = "amazon_pilot.urls"
WSGI_APPLICATION = "amazon_pilot.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ASSETS_DIR / "templates"],
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

# SQLite in var/ unless another database is named.
DATABASES = {
    "default": addresses.database(f"sqlite:///{quote(str(VAR_DIR / 'pilot.sqlite3'))}") | {"ATOMIC_REQUESTS": True}
}
# A connection to PostgreSQL that hears nothing for so many seconds asks whether it is still served; 0 means never.
DATABASE_SILENCE_SECONDS = whole("DATABASE_SILENCE_SECONDS", 10, 0, 3600)
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
# Ten wrong passwords for a name, or from an address, close the door to it for a quarter of an hour (login.py).
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "ip_address"]
AXES_CLIENT_IP_CALLABLE = "amazon_pilot.login.address_of"
AXES_LOCKOUT_CALLABLE = "amazon_pilot.login.locked_out"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # who keeps trying is not the one who has to wait for ever
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
# Accounts (django-allauth): who may make one, and how. The login itself is ours (login.py), for its throttling.
SIGN_UP = choice("SIGN_UP", "closed", ("open", "invited", "closed"))
ACCOUNT_ADAPTER, MFA_ADAPTER = "accounts.adapter.Adapter", "accounts.adapter.SecondFactor"
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True  # an address that an operator wrote was never confirmed
# How often a token, or a signed-in browser, may ask the API in a minute.
API_REQUESTS_PER_MINUTE = whole("API_REQUESTS_PER_MINUTE", 120, 1, 100_000)
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "products:home"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = choice("LANGUAGE_CODE", "en", ("en", "zh-hans"))
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [ASSETS_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = text("TIME_ZONE", "UTC")
try:
    zoneinfo.ZoneInfo(TIME_ZONE)
except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # "America" is a folder
    refuse("TIME_ZONE", "write a zone such as Europe/Berlin or UTC.")

# Nothing inline and nothing from elsewhere. Pages that are not ours to write have exceptions (amazon_pilot/http.py).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "manifest-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
# What is uploaded is bounded while it arrives.
FILE_UPLOAD_HANDLERS = ["amazon_pilot.uploads.BoundedUpload"]
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [ASSETS_DIR / "static"]
WHITENOISE_USE_FINDERS = True

# Redis carries the jobs. Without REDIS_URL the bundled server (amazon_pilot/embedded.py) listens on a Unix socket
# that only its owner may open. A socket's path may hold 107 bytes, so a deep checkout keeps it in the temporary folder.
REDIS_SOCKET = VAR_DIR / "redis.sock"
if len(str(REDIS_SOCKET)) > 100:
    REDIS_SOCKET = Path(tempfile.gettempdir()) / f"pilot-{hashlib.sha256(str(VAR_DIR).encode()).hexdigest()[:16]}.sock"
REDIS_URL = text("REDIS_URL")
REDIS_IS_EMBEDDED = not REDIS_URL
# A command is tried again for so many seconds while Redis is away: redis-py alone gives up after 5, too early for a
# job that has something to write. A request must not wait so long: wsgi.py sets 2.
REDIS_PATIENCE_SECONDS = whole("REDIS_PATIENCE_SECONDS", 60, 0, 600)
REDIS = redis_address.parse(REDIS_URL or f"unix://{quote(str(REDIS_SOCKET))}?db=0", REDIS_PATIENCE_SECONDS)
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "jobs": {"BACKEND": "amazon_pilot.redis_address.Door"},
}

# Queues, most important first, with the weights by which a free slot chooses among those that hold work.
QUEUE_WEIGHTS = {"critical": 6, "default": 3, "low": 1}
# For how many seconds the oldest job of a queue may wait before the monitor says that something is wrong.
QUEUE_LIMITS = {"critical": 60, "default": 600, "low": 3600}
# What this code is called: the monitor marks when it was first started. By hand: manage.py release NAME.
RELEASE = text("RELEASE")
WORKER_CONCURRENCY = whole("WORKER_CONCURRENCY", 10, 1, 200)
# A worker that is told to leave waits so many seconds for its jobs, then gives them back to their queues.
WORKER_GRACE_SECONDS = whole("WORKER_GRACE_SECONDS", 30, 0, 3600)
# A slot makes room for a fresh one after so many jobs, or between jobs when it has grown to half of this memory;
# a task cannot have more than all of it.
WORKER_SLOT_JOBS = whole("WORKER_SLOT_JOBS", 10_000, 1, 1_000_000)
WORKER_SLOT_MEMORY_MB = whole("WORKER_SLOT_MEMORY_MB", 512, 64, 65_536)
JOB_FAILURE_TTL = 30 * 86_400  # seconds for which Redis keeps a failed job; its history is in JobRun
# The most failed jobs of one queue that Redis keeps; what is more is deleted a day after it was told of.
FAILED_JOBS_KEPT = whole("FAILED_JOBS_KEPT", 10_000, 1, 10_000_000)
# For how many days rows of the engine are kept; jobs/retention.py says which, and shows what a change would delete.
RETENTION_SUCCEEDED_DAYS = whole("RETENTION_SUCCEEDED_DAYS", 30, 1, 3650)
RETENTION_FAILED_DAYS = whole("RETENTION_FAILED_DAYS", 90, 1, 3650)
RETENTION_AUDIT_DAYS = whole("RETENTION_AUDIT_DAYS", 400, 1, 3650)
RETENTION_FIRES_DAYS = whole("RETENTION_FIRES_DAYS", 90, 7, 3650)  # Redis knows what it was sent for a week
RETENTION_BULK_DAYS = whole("RETENTION_BULK_DAYS", 90, 1, 3650)
RQ_QUEUES = {name: {"USE_REDIS_CACHE": "jobs", "DEFAULT_TIMEOUT": 180, "SERIALIZER": "json"} for name in QUEUE_WEIGHTS}
# Django's own Tasks interface, on the same queues: `from django_tasks import task`.
TASKS = {"default": {"BACKEND": "amazon_pilot.jobs.backend.PilotBackend", "QUEUES": list(QUEUE_WEIGHTS)}}
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
    # What a crash or an emptied Redis left behind; the rows know: of the engine, then of the product.
    "resume-bulk-actions": {
        "cron": "* * * * *",
        "task": "amazon_pilot.jobs.tasks.resume_bulk_actions",
        "args": [],
        "queue": "critical",
    },
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
MONITOR_SUBJECTS = "amazon_pilot.subjects"  # what jobs are about, and why it is looked at next when it is
MONITOR_CHECKS = ["amazon_pilot.business.checks"]  # what the product counts among its health
MONITOR_TELL = "amazon_pilot.business.tell"  # writes to operators what an alert says
MONITOR_TELL_ONE = "amazon_pilot.business.tell_one"  # the same to one of them, as a test
RQ_SHOW_ADMIN_LINK = False
RQ_API_TOKEN = ""


def service_url(name: str, default: str, token_name: str, path: str) -> str:
    """Return the address of an outside service, which is the sandbox's exactly where there is no token for it."""
    has_token = bool(text(token_name))
    url = address(name, default if has_token else f"{SANDBOX_URL}{path}")
    is_sandbox = normpath(unquote(urlsplit(url).path)).lstrip("/").startswith("sandbox/")  # as a server reads it
    if has_token and is_sandbox:
        refuse(name, f"it names the sandbox, though {token_name} is set; leave one of the two out.")
    if not has_token and not is_sandbox:
        refuse(name, f"{token_name} is empty, but this is not the sandbox; set {token_name}, or leave the address out.")
    return url


# Apify and OpenAI: tokens alone decide who is asked. Without one the sandbox plays the service, at SANDBOX_URL, where
# the worker reaches this site; a real token is never sent there. What the sandbox itself wants to see is not secret
# from those who may read SECRET_KEY.
SANDBOX_URL = address("SANDBOX_URL", f"http://127.0.0.1:{PORT}")
SANDBOX_TOKEN = hmac.new(SECRET_KEY.encode(), b"the sandbox's token", "sha256").hexdigest()
SANDBOX_CONTROL_TOKEN = token("SANDBOX_CONTROL_TOKEN")  # empty: nobody can ask the sandbox for failures over HTTP
APIFY_TOKEN = token("APIFY_TOKEN")
APIFY_API_URL = service_url("APIFY_API_URL", "https://api.apify.com", "APIFY_TOKEN", "/sandbox/apify")
OPENAI_API_KEY = token("OPENAI_API_KEY")
OPENAI_BASE_URL = service_url("OPENAI_BASE_URL", "https://api.openai.com/v1", "OPENAI_API_KEY", "/sandbox/openai/v1")
SANDBOX_PICTURES_URL = "" if APIFY_TOKEN else f"{SANDBOX_URL}/sandbox/pictures"  # where its listings' pictures lie
PICTURES = flag("PICTURES", True)  # whether the worker fetches them from the addresses that listings name
SANDBOX_SERVES = [name for name, known in (("Apify", APIFY_TOKEN), ("OpenAI", OPENAI_API_KEY)) if not known]
APIFY_TOKEN = APIFY_TOKEN or SANDBOX_TOKEN
OPENAI_API_KEY = OPENAI_API_KEY or SANDBOX_TOKEN
APIFY_ACTOR = pattern(
    "APIFY_ACTOR",
    "axesso_data/amazon-product-details-scraper",
    r"[A-Za-z0-9_-][A-Za-z0-9._-]*([/~][A-Za-z0-9_-][A-Za-z0-9._-]*)?",
    "write an actor like user/name.",
)
# Where Apify reaches this site, to say that a run has ended; empty: it is not asked to, and runs are asked about.
APIFY_WEBHOOK_URL = address("APIFY_WEBHOOK_URL", SITE_URL) if text("APIFY_WEBHOOK_URL") else ""
APIFY_USD_PER_RESULT = dollars("APIFY_USD_PER_RESULT", "0.0015")
APIFY_DAILY_BUDGET_USD = dollars("APIFY_DAILY_BUDGET_USD", "5.00")  # of the installation, as the next
APIFY_MONTHLY_BUDGET_USD = dollars("APIFY_MONTHLY_BUDGET_USD", f"{min(31 * APIFY_DAILY_BUDGET_USD, 999_999):f}")
APIFY_TEAM_DAILY_BUDGET_USD = dollars("APIFY_TEAM_DAILY_BUDGET_USD", f"{APIFY_DAILY_BUDGET_USD:f}")  # of each team
APIFY_TEAM_MONTHLY_BUDGET_USD = dollars("APIFY_TEAM_MONTHLY_BUDGET_USD", f"{APIFY_MONTHLY_BUDGET_USD:f}")
# A comparison fetches fresh data first when some of it is older than so many hours; 0: it takes what is known.
REPORT_MAX_AGE_HOURS = whole("REPORT_MAX_AGE_HOURS", 36, 0, 8760)
OPENAI_MODEL = text("OPENAI_MODEL", "gpt-4.1-mini")
OPENAI_SCHEMA_MODE = choice("OPENAI_SCHEMA_MODE", "json_schema", ("json_schema", "json_object"))
# The most that one answer may hold, its reasoning included, and the name under which the server knows this limit.
OPENAI_MAX_OUTPUT_TOKENS = whole("OPENAI_MAX_OUTPUT_TOKENS", 4000, 100, 1_000_000)
OPENAI_LIMIT_PARAMETER = choice("OPENAI_LIMIT_PARAMETER", "auto", ("auto", "max_completion_tokens", "max_tokens"))
OPENAI_USD_PER_MILLION_INPUT = dollars("OPENAI_USD_PER_MILLION_INPUT", "0.40")
OPENAI_USD_PER_MILLION_CACHED = dollars("OPENAI_USD_PER_MILLION_CACHED", "0.10")
OPENAI_USD_PER_MILLION_OUTPUT = dollars("OPENAI_USD_PER_MILLION_OUTPUT", "1.60")
OPENAI_DAILY_BUDGET_USD = dollars("OPENAI_DAILY_BUDGET_USD", "1.00")  # of each team, as the next
OPENAI_MONTHLY_BUDGET_USD = dollars("OPENAI_MONTHLY_BUDGET_USD", "20.00")
OPENAI_TOTAL_DAILY_BUDGET_USD = dollars("OPENAI_TOTAL_DAILY_BUDGET_USD", "20.00")  # of the installation, as the next
OPENAI_TOTAL_MONTHLY_BUDGET_USD = dollars("OPENAI_TOTAL_MONTHLY_BUDGET_USD", "200.00")

# Alerts: looked at by the web server and the schedulers, each of which tells of the other.
ALERTS = flag("ALERTS", True)
ALERT_INTERVAL = 10.0  # seconds between two looks
WEB_HEALTH_URL = f"{SANDBOX_URL}/health"  # where this site is reached from inside

# Webhooks go to public addresses only, but for these networks of the operator's own, plain http included.
WEBHOOK_PRIVATE_NETWORKS = networks("WEBHOOK_PRIVATE_NETWORKS")

# Mail goes to files in var/mail until EMAIL_URL names a server.
EMAIL = addresses.mail(f"filemail://{quote(str(VAR_DIR / 'mail'))}")
EMAIL_BACKEND, EMAIL_FILE_PATH = EMAIL["EMAIL_BACKEND"], str(VAR_DIR / "mail")
EMAIL_HOST, EMAIL_PORT = EMAIL["EMAIL_HOST"], EMAIL["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = EMAIL["EMAIL_HOST_USER"], EMAIL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = EMAIL["EMAIL_USE_TLS"], EMAIL["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = sender("DEFAULT_FROM_EMAIL", "Amazon Pilot <pilot@localhost>")

# A token that lets Prometheus read /metrics without a login; empty means that a login is needed.
METRICS_TOKEN = token("METRICS_TOKEN")
# Whether asynq's names stand beside ours, for dashboards and rules that were made for it.
METRICS_ASYNQ_NAMES = flag("METRICS_ASYNQ_NAMES", True)

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
