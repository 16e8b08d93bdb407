"""Redis: its memory, its settings, its slow commands, and a warning for each setting that may lose jobs."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..core.values import Context
from ..inspect import snapshot
from ..inspect.redis_health import server, sizes, slow_commands
from . import pages


@pages.page()
def redis(request: HttpRequest) -> HttpResponse:
    """Show Redis as the operator of a queue has to see it; ten commands and the shared sample."""
    context: Context = {
        "sample": pages.widget(snapshot.current),
        "server": pages.widget(server),
        "slow": pages.widget(slow_commands),
        "sizes": pages.widget(sizes),
    }
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_redis", **context)
    return pages.show(request, "redis", _("Redis"), **context)
