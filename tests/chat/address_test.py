"""Which addresses lead to this machine: whatever may mean another one is not local."""

import socket

import pytest

from reeval.chat import address

KEY = "sk-Quagga-7731"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.8.9.10/v1", True),
        ("https://[::1]:8000/v1", True),
        ("http://[::ffff:127.0.0.1]/v1", True),
        ("http://127.1/v1", True),
        ("http://10.0.0.1:8000/v1", False),
        ("http://0.0.0.0:8000/v1", False),
        ("http://[::ffff:8.8.8.8]/v1", False),
        ("http://[2001:db8::1]/v1", False),
        ("http://134744072/v1", False),  # 8.8.8.8
    ],
)
def test_an_address_is_local_if_all_it_resolves_to_is_loopback(url, local):
    assert address.local(url) is local


def test_a_name_that_resolves_to_another_machine_too_is_not_local(monkeypatch):
    for addresses, local in ((["127.0.0.1", "::1"], True), (["127.0.0.1", "10.0.0.1"], False)):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, 0)) for place in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        assert address.local("http://workstation:8000/v1") is local


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000", "ftp://localhost/v1", f"http://u:{KEY}@localhost/v1", f"http://localhost/v1?key={KEY}",
        "http://localhost\\@example.org/v1", "http://localhost/v1#x", "http://no-such-host.invalid/v1", "http:///v1",
        "http://localhost/v1\nHost: example.org",
    ],
)  # fmt: skip
def test_an_address_that_may_mean_two_things_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="^base URL: ") as caught:
        address.local(url)
    assert KEY not in str(caught.value) and "\n" not in str(caught.value)
