import ipaddress
import os
import sys

# Read when the packages are imported: nothing here reports home, and nothing of the machine's own settings counts.
for name in [name for name in os.environ if name.startswith(("OPENAI_", "AWS_", "LITELLM_"))]:
    del os.environ[name]
os.environ |= {
    "ANONYMIZED_TELEMETRY": "False",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
}

import pytest  # noqa: E402

from arithmetic import SCRIPT  # noqa: E402
from turnpike import FREE_PORTS, Rollout, Turnpike  # noqa: E402

outside: list[str] = []


def refuse_outside(event: str, arguments: tuple) -> None:
    """Blocks and notes whatever would leave this machine, also what a package swallows."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost") or is_loopback(host):
        return
    outside.append(f"{event} {host}")
    raise OSError(f"{host} is not on this machine")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


sys.addaudithook(refuse_outside)


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine():
    yield
    noted = outside[:]
    outside.clear()
    assert noted == []



@pytest.fixture(scope="session")
def turnpike():
    with Turnpike("dev", *FREE_PORTS, "--script", SCRIPT, "--slice-bytes", "7") as running:
        yield running


@pytest.fixture
def rollout(turnpike, request):
    """A trajectory of the test's own."""
    return Rollout(turnpike, f"{request.module.__name__} {request.node.name}")


@pytest.fixture
def environment(rollout, monkeypatch):
    """What an unmodified agent reads."""
    monkeypatch.setenv("OPENAI_BASE_URL", rollout.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", rollout.api_key)


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def stream(request) -> bool:
    return request.param
