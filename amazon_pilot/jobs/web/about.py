"""One thing that jobs are about, such as a product: its last jobs, what became of them, why the next is when it is."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..core.subjects import is_subject
from ..core.values import Context
from ..inspect import subjects
from ..inspect.lists import ask
from . import pages

SHOWN = 20


@pages.page()
def about(request: HttpRequest, subject: str) -> HttpResponse:
    """Show what is known of one subject: /admin/monitor/about/product:17."""
    if not is_subject(subject):
        raise Http404
    ((_name, described),) = subjects.described([subject])
    kin = pages.widget(lambda: subjects.described(sorted(subjects.About(subject).subjects - {subject}, key=newest)))
    context: Context = {
        "subject": subject,
        "described": described,
        "kin": kin,
        "prospects": pages.widget(lambda: subjects.prospects(subject)),
        "listing": pages.widget(lambda: ask(f'about:"{subject}"', "", SHOWN)),
        "q": f"about:{subject}",
    }
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_about", **context)
    return pages.show(request, "about", title(described.text), **context)


def title(text: str) -> str:
    return _("About %s") % text


def newest(subject: str) -> tuple[str, int]:
    """Order subjects by kind, and of one kind the newest first."""
    kind, _colon, key = subject.partition(":")
    return kind, -int(key) if key.isdigit() and len(key) < 19 else 0
