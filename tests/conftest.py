"""What the tests share: one export with random weights, one server, both made on first use; and that nothing is skipped
unseen: a test that did not run is named in `not_run.txt`, or the run fails."""

from __future__ import annotations

import faulthandler
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from places import CHECKOUT
from reelscope_export import paths

NOT_RUN = CHECKOUT / "tests" / "not_run.txt"
"""Node ids, one per line, of the tests that a machine without trained weights and without a GPU does not run."""
WEIGHTS = CHECKOUT / "out" / "test" / "weights"
"""The cache that `built_repository` is built from."""
_skipped: set[str] = set()


@pytest.fixture(scope="session", autouse=True)
def weights_cache() -> Iterator[None]:
    """A cache of our own: trained weights of the user must not decide what the tests see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_WEIGHTS", str(WEIGHTS))
        paths.isolate_libraries()
        yield


@pytest.fixture(scope="session")
def built_repository(weights_cache: None) -> Path:
    """A model repository with the cpu profile's models, random weights; kept, and rebuilt only when code changes."""
    from reelscope import settings

    repository = CHECKOUT / "out" / "test" / "model_repository"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELSCOPE_REPOSITORY", str(repository))
        patch.setenv("REELSCOPE_WEIGHTS", str(WEIGHTS))
        assert settings.model_repository() == repository, "also copies the committed files"
        command = [Path(sys.executable).parent / "reelscope-export", "--all", "--profile", "cpu", "--weights", "random"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return repository


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell where a crash was: xgrammar's import replaces the handler that pytest had installed."""
    faulthandler.disable()
    faulthandler.enable(item.config.stash[fault_handler_stderr_fd_key])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note every test that is skipped, for whatever reason."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.add(report.nodeid)


@pytest.hookimpl(tryfirst=True)  # before -m and -k deselect
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a list that names tests which are not there (any more)."""
    if any("::" in argument for argument in config.args):
        return  # single tests were asked for: the others of their files are left out on purpose
    known = {item.nodeid for item in items}
    files = {name.partition("::")[0] for name in known}
    if gone := sorted(name for name in _listed() - known if name.partition("::")[0] in files):
        raise pytest.UsageError(f"{NOT_RUN.name} names tests that are not there: {', '.join(gone)}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which a test was skipped that the committed list does not name."""
    if unlisted := sorted(_skipped - _listed()):
        report = session.config.pluginmanager.getplugin("terminalreporter")
        report.write_line(f"\nskipped, and not named in {NOT_RUN.name}: {', '.join(unlisted)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _listed() -> set[str]:
    lines = NOT_RUN.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}
