"""Do wheel, sdist → wheel and editable install hold the same data files, with the digests compiled in?"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from safelight.builtin_data import builtin_files, builtin_path


def _generator(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", root / "native/tools/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _build(kind: str, source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = out.iterdir()
    return built


def _data_files(wheel: Path) -> dict[str, str]:
    """Name → digest of everything in the wheel that is neither code nor metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.removeprefix("safelight/"): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name.startswith("safelight/") and Path(name).suffix not in (".py", ".so", ".pyi", ".typed")
        }


@pytest.fixture(scope="module")
def wheels(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(wheel from the tree, wheel from the sdist, sdist); the tree is a copy of what git has."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    tree.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    subprocess.run(
        ["tar", "--null", "--files-from=-", "--create", f"--file={folder / 'tree.tar'}"],
        cwd=root,
        input=listed.stdout,
        check=True,
    )
    subprocess.run(["tar", "-xf", str(folder / "tree.tar"), "-C", str(tree)], check=True)
    direct = _build("wheel", tree, folder / "direct")
    sdist = _build("sdist", tree, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return direct, _build("wheel", unpacked, folder / "indirect"), sdist


def test_all_three_hold_the_same_data(wheels: tuple[Path, Path, Path], root: Path) -> None:
    direct, indirect, _ = wheels
    editable = {
        path.relative_to(root / "sdk/safelight").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for _, path in _generator(root).builtin_files()
    }
    assert _data_files(direct) == editable
    assert _data_files(indirect) == editable


def test_this_installation_was_built_from_the_tree(root: Path) -> None:
    """Fails after editing models/ or deterrence/ without a rebuild: run `make build`."""
    for name, path in _generator(root).builtin_files():
        assert builtin_files()[name].sha256 == hashlib.sha256(path.read_bytes()).hexdigest(), name
        assert builtin_path(name).read_bytes() == path.read_bytes()


def test_a_wheel_has_models_and_words_and_no_recipes(wheels: tuple[Path, Path, Path]) -> None:
    names = set(_data_files(wheels[0]))
    assert "_data/models/open_nsfw_v1/model.tflite" in names
    assert "_data/deterrence/catalogue/en.json" in names
    assert not any("recipes" in name or "tools" in name for name in names)


def test_the_installed_wheel_works_away_from_the_tree(
    wheels: tuple[Path, Path, Path], tmp_path: Path, portrait: Path
) -> None:
    """Unpacked on its own, without the repository on the path."""
    with zipfile.ZipFile(wheels[1]) as archive:
        archive.extractall(tmp_path)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import safelight; assert safelight.__file__.startswith(sys.argv[1]), safelight.__file__\n"
        "print(safelight.Guard().check_image(sys.argv[2]).action.name)"
    )
    # -P and an empty path hook list: an editable install must not be what answers.
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), str(portrait)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "ALLOW", done.stderr


def test_the_sdist_is_complete(wheels: tuple[Path, Path, Path]) -> None:
    with tarfile.open(wheels[2]) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    for needed in (
        "LICENSE",
        "NOTICE",
        "native/sources.txt",
        "native/tools/generate.py",
        "bindings/python/_text.pyx",
        "bindings/c/include/safelight.h",
        "sdk/safelight/_data/models/open_nsfw_v1/model.tflite",
    ):
        assert needed in names
