"""What Apify calls when a run has ended: a hint to look at once, and no more; nothing of what it says is read.

The address of each run carries a secret of its own, so that knowing one opens no other.
"""

import hmac
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import ScrapeRun
from .tasks import look_at_hinted_run

ENDS = (
    "ACTOR.RUN.SUCCEEDED",
    "ACTOR.RUN.FAILED",
    "ACTOR.RUN.ABORTED",
    "ACTOR.RUN.TIMED_OUT",
)


def secret_of(ref: UUID) -> str:
    """Return what the address of this run's webhook ends with."""
    key = hmac.new(settings.SECRET_KEY.encode(), b"webhooks of Apify", "sha256").digest()
    return hmac.new(key, ref.bytes, "sha256").hexdigest()


def wanted(ref: UUID) -> list[dict[str, Any]]:
    """Return the webhooks that a start asks for: one, or none where this site has no address that Apify reaches."""
    if not settings.APIFY_WEBHOOK_URL:
        return []
    address = settings.APIFY_WEBHOOK_URL + reverse("products:apify_hook", args=[ref, secret_of(ref)])
    return [{"event_types": [*ENDS], "request_url": address}]


@csrf_exempt
@require_POST
def apify(request: HttpRequest, ref: UUID, secret: str) -> HttpResponse:
    """Have a run looked at now, once; a wrong secret and a run that is not known are both 404."""
    if not settings.APIFY_WEBHOOK_URL or not hmac.compare_digest(secret.encode(), secret_of(ref).encode()):
        raise Http404
    run = ScrapeRun.objects.filter(ref=ref).only("pk").first()
    if run is None:
        raise Http404
    if run.take_hint():
        look_at_hinted_run.enqueue(run.pk)
    return HttpResponse(status=204)
