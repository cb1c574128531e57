"""What `pip install .` would install: a wheel with every package in it, whose command works."""

import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest
from helpers.paths import PROJECT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of this project, built from a copy of what git tracks or would track."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (PROJECT / name).is_file() and not name.startswith(("tests/", "dataset/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((PROJECT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run(list(map(str, build)), check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_a_wheel_holds_every_module_and_data_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    expected = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "covid19").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert expected <= inside
    assert "train_covid19.py" in inside


def test_an_installed_wheel_answers_draws_and_checks(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").rglob("site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies come from the environment of the tests; that one's own covid19 is behind this one's.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = tmp_path / "venv" / "bin" / "python"
    (tmp_path / "here").mkdir()

    def run(code, *arguments):
        command = [python, "-c", code, *arguments]
        return subprocess.run(list(map(str, command)), cwd=tmp_path / "here", capture_output=True, text=True, check=False)

    def covid19(*arguments):
        return run("import sys; from covid19.cli.main import main; sys.exit(main())", *arguments)

    assert run("import covid19; print(covid19.__file__)").stdout.strip() == str(site / "covid19" / "__init__.py")
    assert covid19("--help").stdout.startswith("usage: covid19")
    assert covid19("sample", "phantoms", "--count", "3", "--size", "64").returncode == 0
    checked = covid19("check", "phantoms", "--no-cache")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("PASS with ")
