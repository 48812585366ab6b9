"""Starts what the SDK checks talk to.

`BUTTRESS_GATEWAY_BIN` and `BUTTRESS_SIM_BIN` name the programs; `cargo xtask sdk` builds them and sets both. With
`BUTTRESS_GATEWAY_URL` the checks talk to a gateway that runs already. Those that break regions are then skipped, unless
`BUTTRESS_CONTROL_URL` names the control endpoint of simulators called eastus, westeurope and swedencentral.
"""

import faulthandler
import os
import signal

import pytest
from support import MODEL, EMBEDDING_MODEL, REGIONS, Control, Program, Site

GATEWAY_BIN = os.environ.get("BUTTRESS_GATEWAY_BIN")
SIM_BIN = os.environ.get("BUTTRESS_SIM_BIN")
GATEWAY_URL = os.environ.get("BUTTRESS_GATEWAY_URL", "").rstrip("/")
CONTROL_URL = os.environ.get("BUTTRESS_CONTROL_URL")

SITES = ["given"] if GATEWAY_URL else ["demo", "configured"]
LISTENING = r"listening on (http://127\.0\.0\.1:\d+)"
CONTROL = r"control: (http://127\.0\.0\.1:\d+)"
SIM_CONTROL = r"^control\s+(http://127\.0\.0\.1:\d+)"
# Seconds for one test and its fixtures, if it has no `limit` of its own.
LIMIT = 60
MEASURED = pytest.StashKey()


# How each region is spoken to where the gateway is told, from the most to the least preferred: name, dialect, path.
DIALECTS = (("eastus", "openai", "/v1"), ("westeurope", "azure", ""), ("swedencentral", "azure-v1", ""))


# The regions count what they are asked, and only what the tests ask is to be counted.
NO_PROBES = ("[probes]", 'every = "off"')


def gateway_config(urls):
    """The gateway's configuration file, for the simulated regions at these addresses."""
    lines = ['shutdown_grace = "1s"', 'deadline = "20s"', "", "[failover]"]
    lines += ['stream_timeout = "2s"', 'answer_timeout = "2s"', "", *NO_PROBES]
    for name, dialect, path in DIALECTS:
        lines += ["", "[[targets]]", f'name = "{name}"', f'region = "{name}"']
        lines += [f'dialect = "{dialect}"', f'url = "{urls[name]}{path}"']
    return "\n".join(lines) + "\n"


def attentive_config(urls):
    """The same for regions that speak every dialect, with short patience."""
    lines = ['shutdown_grace = "100ms"', "", "[failover]", 'stream_timeout = "500ms"', 'answer_timeout = "500ms"']
    lines += ["", "[streams]", 'idle = "500ms"', "", *NO_PROBES]
    for name, url in urls.items():
        lines += ["", "[[targets]]", f'name = "{name}"', 'dialect = "openai"', f'url = "{url}/v1"']
        lines += ["[[targets.endpoints]]", 'dialect = "anthropic"', f'url = "{url}"']
    return "\n".join(lines) + "\n"


def start_demo():
    """The gateway as it is without a configuration: simulated regions, and their control endpoint beside it."""
    return Program([binary(GATEWAY_BIN), "--listen", "127.0.0.1:0"], {"url": LISTENING, "control": CONTROL})


def start_configured(config):
    return Program([binary(GATEWAY_BIN), "--listen", "127.0.0.1:0", "--config", config], {"url": LISTENING})


def start_simulators():
    """Three regions that serve two models, so that others are unknown to them."""
    args = ["--port", "0", "--control", "127.0.0.1:0", "--gap", "5ms", "--model", MODEL, "--model", EMBEDDING_MODEL]
    for name, first_token in zip(REGIONS, ("20ms", "60ms", "80ms")):
        args += ["--target", f"{name}:{first_token}"]
    return Program([binary(SIM_BIN), *args], {"control": SIM_CONTROL})


def binary(path):
    assert path, "run `cargo xtask sdk`, or set BUTTRESS_GATEWAY_BIN and BUTTRESS_SIM_BIN, or BUTTRESS_GATEWAY_URL"
    return path


@pytest.fixture(scope="session")
def gateway():
    """One gateway for the checks that break nothing."""
    if GATEWAY_URL:
        yield Site(GATEWAY_URL, CONTROL_URL and Control(CONTROL_URL))
        return
    program = start_demo()
    yield Site(program.found["url"], Control(program.found["control"]))
    program.stop()


@pytest.fixture(scope="session")
def simulators():
    """Three simulated regions outside any gateway."""
    program = start_simulators()
    yield Control(program.found["control"])
    program.stop()


@pytest.fixture
def start_gateway(simulators, tmp_path):
    """Starts a gateway before the simulators, in both dialects, with these lines of configuration."""
    simulators.reset()
    programs = []

    def start(lines):
        lines = [*lines, *NO_PROBES]
        for name, target in simulators.targets().items():
            lines += ["[[targets]]", f'name = "{name}"', 'dialect = "openai"', f'url = "{target["url"]}/v1"']
            lines += ["[[targets.endpoints]]", 'dialect = "anthropic"', f'url = "{target["url"]}"']
        config = tmp_path / "gateway.toml"
        config.write_text("\n".join(lines) + "\n")
        programs.append(start_configured(str(config)))
        return Site(programs[-1].found["url"], simulators)

    yield start
    for program in programs:
        program.stop()
        print(program.output())


@pytest.fixture
def configured(request, tmp_path):
    """A fresh gateway that a file sends to the simulators. A gateway remembers what broke, so each check has its own."""
    if GATEWAY_URL:
        yield given()
        return
    control = request.getfixturevalue("simulators")
    control.reset()
    config = tmp_path / "gateway.toml"
    config.write_text(gateway_config({name: target["url"] for name, target in control.targets().items()}))
    program = start_configured(str(config))
    yield Site(program.found["url"], control)
    program.stop()
    print(program.output())


@pytest.fixture
def attentive(request, tmp_path):
    """A fresh gateway whose regions speak every dialect, and that waits half a second for anything."""
    if GATEWAY_URL:
        pytest.skip("the gateway at BUTTRESS_GATEWAY_URL waits as long as it is set to")
    control = request.getfixturevalue("simulators")
    control.reset()
    config = tmp_path / "gateway.toml"
    config.write_text(attentive_config({name: target["url"] for name, target in control.targets().items()}))
    program = start_configured(str(config))
    yield Site(program.found["url"], control)
    program.stop()
    print(program.output())


@pytest.fixture(params=SITES)
def site(request):
    """A fresh gateway whose regions may be broken: once as it is without a configuration, once configured."""
    if request.param != "demo":
        yield request.getfixturevalue("configured")
        return
    program = start_demo()
    yield Site(program.found["url"], Control(program.found["control"]))
    program.stop()
    print(program.output())


def given():
    """The gateway that runs already. It is not fresh: what a check before broke, it may remember."""
    if not CONTROL_URL:
        pytest.skip("BUTTRESS_CONTROL_URL is not set")
    site = Site(GATEWAY_URL, Control(CONTROL_URL))
    site.control.reset()
    return site


@pytest.fixture
def measured(request):
    """Takes a line to print below the results."""
    return lambda line: request.config.stash[MEASURED].append(f"{request.node.name}: {line}")


@pytest.fixture(autouse=True)
def limit(request):
    """Ends a test that takes too long; if that does not help, ends the run with all stacks."""
    marker = request.node.get_closest_marker("limit")
    seconds = marker.args[0] if marker else LIMIT
    faulthandler.dump_traceback_later(seconds + 30, exit=True)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"took longer than {seconds} s"))
        signal.alarm(seconds)
    yield
    if hasattr(signal, "SIGALRM"):
        signal.alarm(0)
    faulthandler.cancel_dump_traceback_later()


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): ends the test after this time")
    config.stash[MEASURED] = []
    # Neither the user's keys nor the user's proxy belong here.
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_")) or name.lower().endswith("_proxy"):
            del os.environ[name]


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[MEASURED]:
        terminalreporter.section("measured")
        for line in config.stash[MEASURED]:
            terminalreporter.write_line(line)
