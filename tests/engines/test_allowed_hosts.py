"""Documents go to loopback or to listed hosts, and nowhere else."""

import pytest

from el4ner.engines.allowed_hosts import check_endpoint
from el4ner.errors import ConfigError


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001/v1",
        "http://127.8.9.1/v1",
        "http://localhost:1/v1",
        "https://[::1]:8001/v1",
        "http://LOCALHOST/v1",
    ],
)
def test_loopback_is_allowed(url: str):
    assert check_endpoint("m", url + "/") == url


@pytest.mark.parametrize(
    "host",
    [
        "api.example.com",
        "10.0.0.7",
        "0.0.0.0",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "127.1",
        "[::]",
        "2130706433",
    ],
)
def test_other_hosts_are_refused_with_what_to_do(host: str):
    with pytest.raises(ConfigError, match=r"allow_hosts: \["):
        check_endpoint("m", f"http://{host}/v1")


def test_a_listed_host_is_allowed_whatever_its_case_and_no_other():
    assert check_endpoint("m", "https://GPU-1.lan:8001/v1", ["gpu-1.LAN"]) == "https://GPU-1.lan:8001/v1"
    assert check_endpoint("m", "https://[fd00::7]/v1", ["[fd00::7]"])
    with pytest.raises(ConfigError):
        check_endpoint("m", "https://sub.gpu-1.lan/v1", ["gpu-1.lan"])


def test_an_unencrypted_way_out_is_said(caplog: pytest.LogCaptureFixture):
    check_endpoint("m", "https://gpu-1.lan/v1", ["gpu-1.lan"])
    assert not caplog.records
    check_endpoint("m", "http://gpu-1.lan/v1", ["gpu-1.lan"])
    assert "unencrypted" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8001/v1",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.0.0.1:99999/v1",
        "file:///v1",
        "http://xn--localhost",
        "http://xn--/",
    ],
)
def test_what_is_no_http_url_is_refused(url: str):
    with pytest.raises(ConfigError, match=r"no http\(s\) URL"):
        check_endpoint("m", url)


@pytest.mark.parametrize(
    "url", ["http://me:secret@127.0.0.1/v1", "http://127.0.0.1/v1?key=secret", "http://127.0.0.1/v1#secret"]
)
def test_secrets_in_the_url_are_refused_and_not_repeated(url: str):
    with pytest.raises(ConfigError, match="api_key_env") as raised:
        check_endpoint("m", url)
    assert "secret" not in str(raised.value)
