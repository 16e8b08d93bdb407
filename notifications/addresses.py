"""Which addresses a webhook may be sent to: public ones only, since a user's text must not reach our own network."""

import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What leads elsewhere although the ipaddress module takes it for public: relays to IPv6, protocol assignments, and the
# address under which Azure's machines reach their host.
NOT_PUBLIC_4 = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")]
# Of IPv6 only global unicast is public (IANA, "IPv6 Global Unicast Address Assignments"), which leaves out loopback,
# mapped and compatible IPv4, NAT64 in both ranges, local and multicast addresses; and of that, not the protocol
# assignments with Teredo and ORCHID, not 6to4, not the ranges for documentation.
GLOBAL_6 = ipaddress.ip_network("2000::/3")
NOT_PUBLIC_6 = [
    ipaddress.ip_network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
]
LOCAL_ENDINGS = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".localdomain")
SAFE_IN_PATH = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True)
class Target:
    """A webhook's address, taken apart; `host` is in ASCII, `path` with its query."""

    is_secure: bool
    host: str
    port: int
    path: str


def validate_public_address(url: str) -> None:
    """Refuse what is not an https address on the public internet; raises ValidationError with the reason.

    The name is resolved at each sending too (transports.py), since a name may point elsewhere tomorrow.
    """
    parse(url)


def parse(url: str) -> Target:
    """Return the parts of a webhook's address; raises ValidationError with the reason when it may not be used."""
    if any(sign.isspace() or not sign.isprintable() or sign == "\\" for sign in url):
        raise ValidationError(_("An address holds no blanks and no backslashes."))
    try:
        parts = urlsplit(url)
        host, port = _ascii(parts.hostname or ""), parts.port
    except ValueError as error:
        raise ValidationError(_("This address cannot be read: %(reason)s."), params={"reason": error}) from None
    literal = _literal(host)
    is_secure = parts.scheme == "https"
    if not (is_secure or (parts.scheme == "http" and literal and _is_ours(literal))) or not host or "@" in parts.netloc:
        raise ValidationError(
            _("Write a whole https address without a password in it, such as https://example.com/hook.")
        )
    if port == 0:
        raise ValidationError(_("This address cannot be read: %(reason)s."), params={"reason": "port 0"})
    if not (is_allowed(literal) if literal else "." in host and not host.endswith(LOCAL_ENDINGS)):
        raise ValidationError(_("This address lies in a private network: webhooks go to public addresses only."))
    query = f"?{quote(parts.query, SAFE_IN_PATH + '?')}" if parts.query else ""
    path = (quote(parts.path, SAFE_IN_PATH) or "/") + query
    return Target(is_secure, host, port or (443 if is_secure else 80), path)


def is_allowed(address: Address) -> bool:
    """Tell whether a webhook may be sent there: a public address, or one in a network that the operator opened."""
    return is_public(address) or _is_ours(address)


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, and leads nowhere else by translation."""
    if isinstance(address, ipaddress.IPv6Address):
        return address.scope_id is None and address in GLOBAL_6 and not any(address in net for net in NOT_PUBLIC_6)
    return address.is_global and not address.is_multicast and not any(address in net for net in NOT_PUBLIC_4)


def resolve(host: str, port: int) -> str:
    """Return one IP address of `host` that a webhook may be sent to.

    Raises ValidationError when any of its addresses is not allowed, OSError when the name is unknown.
    """
    found = list(dict.fromkeys(_addresses(host, port)))
    if not found or not all(is_allowed(address) for address in found):
        raise ValidationError(
            _("%(host)s leads into a private network: webhooks go to public addresses only."), params={"host": host}
        )
    return str(found[0])


def _addresses(host: str, port: int) -> Iterator[Address]:
    for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        yield ipaddress.ip_address(str(info[4][0]))


def _ascii(host: str) -> str:
    """Return a host's name as it is asked for; raises ValueError for labels that are empty, too long or no names."""
    if ":" in host:
        return host
    name = host.rstrip(".").encode("idna").decode().lower()
    if len(name) > 253 or not all(sign.isalnum() or sign in "-._" for sign in name):
        raise ValueError("the name of the host is none")
    return name


def _literal(host: str) -> Address | None:
    """Return the IP address that a host's name is, in any spelling that a resolver takes (127.1, 0x7f000001)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _is_ours(address: Address) -> bool:
    return any(address in ipaddress.ip_network(net) for net in settings.WEBHOOK_PRIVATE_NETWORKS)
