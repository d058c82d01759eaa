"""What `pip install .` brings: the packages of the requirement files, each file but the base an extra of its name."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DYNAMIC = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["dynamic"]


def test_each_file_of_requirements_is_an_extra() -> None:
    extras = {name: extra["file"] for name, extra in DYNAMIC["optional-dependencies"].items()}
    files = {path.name for path in ROOT.glob("requirements-*.txt")} - {"requirements-dev.txt"}
    assert DYNAMIC["dependencies"]["file"] == "requirements.txt"
    assert extras == {name.removeprefix("requirements-").removesuffix(".txt"): name for name in files}


@pytest.mark.parametrize("path", sorted(set(ROOT.glob("requirements*.txt")) - {ROOT / "requirements-dev.txt"}))
def test_each_line_is_one_package_and_its_reason(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for line in lines:
        requirement, reason = line.split("  # ") if "  # " in line else (line, "")
        assert Requirement(requirement.strip()).name
        assert reason.strip(), line
