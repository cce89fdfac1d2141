"""A hint to install a package works wherever ddstructs itself was installed from."""

import re
import shlex
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import ddstructs
from ddstructs import extras

ROOT = Path(ddstructs.__file__).parents[1]


@pytest.mark.parametrize("extra", ["plot", "onnx", "sweep", "experiments", "testing"])
def test_the_command_names_the_packages_of_an_extra(extra: str) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["project"]["optional-dependencies"][extra]
    assert shlex.split(extras.install(extra)) == ["pip", "install", *packages]


def test_without_an_installation_the_repository_has_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", gone)
    assert extras.install("plot") == "pip install '.[plot]' in the repository of ddstructs"


def test_no_text_tells_to_install_this_package_from_an_index() -> None:
    files = [path for folder in ("ddstructs", "docs", "tasks") for path in (ROOT / folder).rglob("*.*")]
    texts = [path for path in [*files, ROOT / "README.md"] if path.suffix in (".py", ".md", ".html")]
    assert [path for path in texts if re.search(r"pip install ['\"]?ddstructs", path.read_text())] == []
