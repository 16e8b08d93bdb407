"""Which addresses a webhook may be sent to: public ones only, since a user's text must not reach our own network."""

import ipaddress
import socket
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


def validate_public_address(url: str) -> None:
    """Refuse what is not an https address on the public internet; raises ValidationError with the reason.

    The name is resolved at each sending too (transports.py), since a name may point elsewhere tomorrow.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username:
        raise ValidationError(
            _("Write a whole https address without a password in it, such as https://example.com/hook.")
        )
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        literal = None
    if (literal and not literal.is_global) or parts.hostname in ("localhost",) or parts.hostname.endswith(".local"):
        raise ValidationError(_("This address lies in a private network: webhooks go to public addresses only."))


def resolve_public(host: str, port: int) -> str:
    """Answer one public IP address of `host`.

    Raises ValidationError when any of its addresses is private, OSError when the name is unknown.
    """
    found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not all(ipaddress.ip_address(address).is_global for address in found):
        raise ValidationError(_("%s leads into a private network: webhooks go to public addresses only.") % host)
    return sorted(found)[0]
