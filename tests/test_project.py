"""The habits of the project as a whole: what lies where, what is said about it, and what must never be in it."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TOP = {"pyproject.toml", "dvc.yaml", "params.yaml", "conf", "src", "data", "notebooks", "tests", "README.md", "LICENSE", "dvc.lock"}
MOST_BYTES = 400_000
SHORT_LICENCE = 200  # longer ones are whole texts, which may name other licences
MACHINE_PATH = re.compile(r"(?<![\w.*$}])/(?:home|root|work|Users|opt|mnt|srv|nix|media)/\w")
REGISTRY = re.compile(r"https?://[\w.-]*(?:pypi|pythonhosted|npmjs|debian)[\w.-]*", re.IGNORECASE)
TESTED_ELSEWHERE = {  # module -> the test file that covers it, and why it has none of its own
    "demo/camera.py": ("demo/test_render.py", "seen in the finished frame"),
    "demo/paint.py": ("demo/test_render.py", "seen in the finished frame"),
    "demo/pen.py": ("demo/test_render.py", "seen in the finished frame"),
    "demo/pictograms.py": ("demo/test_signs.py", "part of a sign's face"),
    "demo/plan.py": ("demo/test_write.py", "what they plan and record is what is written"),
    "demo/record.py": ("demo/test_write.py", "what they plan and record is what is written"),
    "demo/roadside.py": ("demo/test_render.py", "only looks; the frame must come out the same"),
    "demo/scenery.py": ("demo/test_render.py", "only looks; the frame must come out the same"),
    "demo/sprites.py": ("demo/test_render.py", "only looks; the frame must come out the same"),
    "demo/things.py": ("demo/test_render.py", "seen in the finished frame"),
    "demo/weather.py": ("demo/test_render.py", "seen in the finished frame"),
    "demo/world.py": ("demo/test_render.py", "seen in the finished frame"),
    "models/tasks.py": ("models/test_learn.py", "a training needs both"),
    "prelabel/associate.py": ("prelabel/test_track.py", "which box goes to which sign is seen in the tracks"),
    "prelabel/proposal.py": ("prelabel/test_propose.py", "its rows are what propose gives"),
    "stages/bundle.py": ("test_pipeline.py", "the stage runs in DVC"),
    "stages/evaluate.py": ("test_pipeline.py", "the stage runs in DVC"),
    "stages/extract.py": ("test_pipeline.py", "the stage runs in DVC"),
    "stages/prelabel.py": ("test_pipeline.py", "the stage runs in DVC"),
    "stages/queue.py": ("test_pipeline.py", "the stage runs in DVC"),
    "studies/status.py": ("test_cli.py", "the command is what a person sees"),
}


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """What git keeps; outside a checkout there is nothing to judge."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not in a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def sh_blocks(text: str) -> list[str]:
    """Return the fenced blocks marked `sh`."""
    return re.findall(r"^```sh[ \t]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_top_level_is_the_house(tracked: list[Path]) -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked}
    assert {name for name in found if not name.startswith(".")} <= TOP
    assert [name for name in sorted(TOP) if not (ROOT / name).exists()] == []


def test_readme_is_short_and_begins_with_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    main_job, tests = sh_blocks(text)[:2]
    for word in ("pip install", "signloop demo", "dvc repro"):
        assert word in main_job
    for word in ("[dev]", "pytest"):
        assert word in tests


def test_every_dependency_says_why_it_has_its_bound(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    wanted = [*pyproject["build-system"]["requires"], *project["dependencies"]]
    wanted += [requirement for group in project["optional-dependencies"].values() for requirement in group]
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    silent = [r for r in wanted if not any(f'"{r}"' in line and re.search(r"#\s*\w", line) for line in lines)]
    assert silent == []
    assert [requirement for requirement in wanted if not Requirement(requirement).specifier] == []


def installed_closure(name: str, extras: frozenset[str]) -> dict[str, importlib.metadata.Distribution]:
    """Return a distribution and all that it needs here, by canonical name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    todo, done = [(name, extras)], set()
    while todo:
        name, extras = todo.pop()
        if (canonicalize_name(name), extras) in done:
            continue
        done.add((canonicalize_name(name), extras))
        distribution = found[canonicalize_name(name)] = importlib.metadata.distribution(name)
        for requirement in map(Requirement, distribution.requires or []):
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                todo.append((requirement.name, frozenset(requirement.extras)))
    return found


def licence(distribution: importlib.metadata.Distribution) -> str:
    """Join what the metadata say about the licence, leaving whole licence texts out."""
    metadata = distribution.metadata.json
    fields = [metadata.get("license_expression", ""), metadata.get("license", "")]
    fields += [line for line in metadata.get("classifier", []) if str(line).startswith("License")]
    return " | ".join(str(field) for field in fields if field and len(str(field)) < SHORT_LICENCE)


def test_no_installed_dependency_is_agpl() -> None:
    found = installed_closure("signloop", frozenset({"dev"}))
    assert len(found) > 50
    assert licence(found["signloop"]) == "MIT"
    assert {name: licence(d) for name, d in found.items() if re.search("AGPL|Affero", licence(d), re.IGNORECASE)} == {}


def test_every_module_has_its_tests() -> None:
    package, missing = ROOT / "src" / "signloop", []
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package)
        own = ROOT / "tests" / module.parent / f"test_{module.stem.lstrip('_')}.py"
        if module.name != "__init__.py" and not own.exists() and str(module) not in TESTED_ELSEWHERE:
            missing.append(str(module))
    assert missing == []


def test_the_list_of_modules_tested_elsewhere_is_true() -> None:
    for module, (tests, _) in TESTED_ELSEWHERE.items():
        assert (ROOT / "src" / "signloop" / module).is_file(), module
        assert (ROOT / "tests" / tests).is_file(), tests
        own = ROOT / "tests" / Path(module).parent / f"test_{Path(module).stem.lstrip('_')}.py"
        assert not own.exists(), f"{module} has tests of its own now"


def test_the_tracker_can_be_loaded_without_what_its_neighbours_need() -> None:
    code = "import sys; import signloop.prelabel.track; print(*sorted({'torch', 'openvino', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_git_keeps_no_large_file(tracked: list[Path]) -> None:
    assert {str(path): path.stat().st_size for path in tracked if path.stat().st_size > MOST_BYTES} == {}


def test_no_path_of_a_machine_and_no_registry(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        places = [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, start=1)
            if MACHINE_PATH.search(line) or REGISTRY.search(line)
        ]
        found += places
    assert found == []


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("open('/ho" + "me/me/x')", True),
        ("cd /wo" + "rk/main", True),
        ("file:///o" + "pt/wheels", True),
        ("data/work/x", False),
        ("#!/usr/bin/env bash", False),
        ("sqlite:///{root}/mlflow.db", False),
    ],
)
def test_machine_paths_are_recognised(line: str, bad: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) == bad


def test_hooks_run_the_commands_of_ci() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    steps = set(re.findall(r'^step "[^"]+" (.+)$', ci, re.MULTILINE))
    entries = {hook["entry"] for hook in hooks}
    assert {"ruff check", "ruff format --check", "mypy", "lint-imports"} <= entries & steps
    assert entries - steps == {"pytest"}  # CI calls it as the README does


def test_ci_is_executable_and_reads_the_second_block(tmp_path: Path) -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    (tmp_path / "README.md").write_text("```sh\none\n```\n\n```text\nno\n```\n\n```sh\ntwo \\\n  three\n```\n```sh\nfour\n```\n")
    body = re.search(r"^readme_block\(\) \{.*?^\}", script.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert body
    done = subprocess.run(["bash", "-euc", f"{body[0]}\nreadme_block 2"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "two \\\n  three\n"


def test_every_stage_depends_on_code_that_exists() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        assert [dep for dep in stage["deps"] if dep.startswith("src/") and not (ROOT / dep).exists()] == [], name


def test_every_package_has_its_layer_in_alphabetical_order(pyproject: dict[str, Any]) -> None:
    layers = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    packages = {f"signloop.{path.parent.name}" for path in (ROOT / "src" / "signloop").glob("*/__init__.py")}
    assert layers[0] == "signloop.cli"
    assert layers[1:] == sorted(packages, reverse=True)  # the alphabet is the architecture
