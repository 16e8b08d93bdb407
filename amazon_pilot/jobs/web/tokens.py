"""Tokens for scripts: each makes and revokes his own; an administrator sees and may revoke all."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from ..models import ApiToken
from ..models.api_token import Scope
from ..operate import tokens
from ..operate.roles import may
from . import pages

SHOWN = 200


@pages.page()
def token_list(request: HttpRequest) -> HttpResponse:
    """List one's tokens, or all: /admin/monitor/tokens."""
    return shown(request)


def shown(request: HttpRequest, text: str = "") -> HttpResponse:
    """Return the page, with the text of a token that was made just now."""
    context = {"tokens": within_reach(request)[:SHOWN], "scopes": Scope.choices, "text": text}
    return pages.show(request, "tokens", _("API tokens"), **context)


def within_reach(request: HttpRequest) -> QuerySet[ApiToken]:
    """Return the tokens that somebody sees and may revoke."""
    rows = ApiToken.objects.select_related("user")
    return rows if may(request.user, "admin") else rows.filter(user=request.user.pk)


@pages.action("view")
def make(request: HttpRequest) -> HttpResponse:
    """Make a token, and show its text this once."""
    words = request.POST
    _row, text = tokens.make(request.user, words.get("name", "").strip()[:60], words.get("scope", Scope.READ))
    return shown(request, text)


@pages.action("view")
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a token worthless at once; another's is unknown to who may not."""
    tokens.revoke(request.user, get_object_or_404(within_reach(request), pk=pk))
    messages.success(request, _("The token is revoked."))
    return pages.back(request, "monitor:tokens")
