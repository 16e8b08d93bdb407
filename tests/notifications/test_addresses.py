"""Addresses of webhooks: public ones are taken, and everything that leads elsewhere is refused, in every spelling."""

import ipaddress
import socket
import ssl

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from notifications import addresses, transports
from notifications.models import Channel
from notifications.transports import Outcome, TransportError, Webhook

BROKEN = [
    "",
    "example.com",
    "//example.com/",
    "http://example.com/hook",
    "ftp://example.com",
    "https://",
    "https:///hook",
    "https://example.com:99999/",
    "https://example.com:0/",
    "https://example.com:-1/",
    "https://example.com:port/",
    "https://[::1/x",
    "https://::1]/x",
    "https://[::1]x/",
    "https://[zz::1]/",
    f"https://{'a' * 64}.example.com/",
    f"https://{'a.' * 130}com/",
    "https://a..example.com/",
    "https://.example.com/",
    "https://user:secret@example.com/",
    "https://user@example.com/",
    "https://@example.com/",
    "https://exa mple.com/",
    "https://example.com/\nX: y",
    "https://example.com\\@127.0.0.1/",
    "https://example.com\t/",
    "https://exa<mple.com/",
    "https://exa\u200bmple.com/",
    "https://xn--\u00e4.example.com/",
]
PRIVATE = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "１２７.0.0.1", "127。0。0。1",
    "127.0.0.1.",
    "10.0.0.8", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255",
    "0.0.0.0", "0", "255.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1", "198.18.0.1", "192.0.0.1",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "168.63.129.16",
    "[::]", "[::1]", "[::127.0.0.1]", "[::8.8.8.8]", "[::ffff:127.0.0.1]", "[::ffff:8.8.8.8]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::8.8.8.8]", "[64:ff9b:1::a00:1]", "[64:ff9b:1:ffff::1]", "[2002:7f00:1::]",
    "[2002:808:808::1]", "[2001::1]", "[2001:0:53aa:64c:0:7b57:f5ff:fffe]", "[2001:db8::1]", "[2001:10::1]",
    "[2001:20::1]", "[3fff::1]", "[100::1]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25eth0]",
    "[fec0::1]", "[ff02::1]", "[ff0e::1]", "[5f00::1]", "[4000::1]",
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "printer.local", "metadata.google.internal", "intranet",
    "a.home.arpa",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "[2606:4700::1111]",
    "[2a00:1450:4001::200e]",
    "example.com",
    "EXAMPLE.com.",
    "bücher.example",
    "a_b.example.com",
]


@pytest.mark.parametrize("url", [*BROKEN, *(f"https://{host}/hook" for host in PRIVATE)])
def test_what_is_broken_or_leads_elsewhere_is_refused_with_a_sentence(url):
    with pytest.raises(ValidationError, match=r"\w+ \w+"):
        addresses.validate_public_address(url)


@pytest.mark.parametrize("host", PUBLIC)
@pytest.mark.parametrize("rest", ["", "/", ":8443/hook?a=b&c=%20d", "/ü?x=y/z"])
def test_public_addresses_are_taken(host, rest):
    target = addresses.parse(f"https://{host}{rest}")

    assert target.host.isascii()
    assert target.path.isascii()
    assert target.path.startswith("/")


@pytest.mark.parametrize(
    ("url", "port", "path"),
    [
        ("https://example.com", 443, "/"),
        ("https://example.com:444", 444, "/"),
        ("https://example.com:65535/a", 65535, "/a"),
        ("https://example.com/a%20b?x=y&z=%26#part", 443, "/a%20b?x=y&z=%26"),
        ("https://example.com?x", 443, "/?x"),
        (f"https://{'.'.join(['a' * 61] * 4)}.com/", 443, "/"),
    ],
)
def test_an_address_is_taken_apart(url, port, path):
    target = addresses.parse(url)

    assert (target.is_secure, target.port, target.path) == (True, port, path)


@pytest.mark.parametrize(("last", "is_taken"), [(5, True), (6, False)])
def test_a_name_may_have_253_signs(last, is_taken):
    host = f"{'.'.join(['a' * 61] * 4)}.{'b' * last}"
    assert len(host) == 248 + last
    if is_taken:
        assert addresses.parse(f"https://{host}/").host == host
    else:
        with pytest.raises(ValidationError):
            addresses.parse(f"https://{host}/")


@pytest.mark.parametrize("url", BROKEN)
def test_the_form_answers_with_a_sentence_and_never_with_an_error(client, alice, url):
    client.force_login(alice)

    data = {"kind": "webhook", "address": url, "least_severity": "1_info"}
    answer = client.post(reverse("notifications:channels"), data)

    assert answer.status_code == 422
    assert not Channel.objects.filter(kind="webhook").exists()


def test_a_channel_added_twice_is_refused_once(client, alice):
    client.force_login(alice)
    data = {"kind": "webhook", "address": "https://example.com/hook", "least_severity": "1_info"}
    client.post(reverse("notifications:channels"), data)

    answer = client.post(reverse("notifications:channels"), data)

    assert answer.content.decode().count("Your team has this channel already.") == 1


def test_every_special_range_is_refused_at_its_edges():
    nets = ["10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"]
    nets += ["192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"]
    nets += ["::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1"]
    for net in map(ipaddress.ip_network, nets):
        assert not addresses.is_public(net[0]), net
        assert not addresses.is_public(net[-1]), net


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "2001:200::1", "2003::1", "2a00::1"]
)
def test_neighbours_of_special_ranges_are_public(host):
    assert addresses.is_public(ipaddress.ip_address(host))


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["64:ff9b::7f00:1"], ["fe80::1%eth0"], ["::ffff:10.0.0.1"], []]
)
def test_a_name_that_leads_home_is_refused_at_sending_for_each_of_its_addresses(monkeypatch, found):
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_words: answers)

    with pytest.raises(TransportError) as refused:
        Webhook().resolved("https://rebinding.example.com/hook")

    assert refused.value.outcome is Outcome.REFUSED


def test_an_unknown_name_may_be_known_later():
    with pytest.raises(TransportError) as unknown:
        Webhook().resolved("https://nobody.invalid/hook")

    assert unknown.value.outcome is Outcome.NOT_SENT


def test_a_network_that_the_operator_opened_is_allowed_and_no_other(settings):
    settings.WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8", "fd00:1::/32"]

    assert addresses.parse("http://127.0.0.1:8000/x").port == 8000
    assert addresses.parse("http://127.0.0.1/x").port == 80
    assert addresses.parse("https://[fd00:1::5]/x").host == "fd00:1::5"
    for other in ("http://10.0.0.1/", "http://8.8.8.8/", "http://example.com/", "https://[fd00:2::5]/"):
        with pytest.raises(ValidationError):
            addresses.parse(other)


def test_certificates_are_read_once_and_each_is_checked():
    kept = transports.trusted()

    assert transports.trusted() is kept
    assert (kept.check_hostname, kept.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert kept.get_ca_certs()
