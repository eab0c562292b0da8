"""Build of the native modules and the list of data files. Everything else is in pyproject.toml."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from pybind11.setup_helpers import Pybind11Extension
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NATIVE = Path("native")
SOURCES = [(NATIVE / line).as_posix() for line in (ROOT / NATIVE / "sources.txt").read_text(encoding="utf-8").split()]
# Image preprocessing and hashing are modules of their own, with the statuses that they share.
IMAGE_SOURCES = [path for path in SOURCES if "/image/" in path]
HASH_SOURCES = [path for path in SOURCES if "/hash/" in path]
TEXT_SOURCES = [path for path in SOURCES if "/text/" in path]
CORE_SOURCES = [path for path in SOURCES if path not in IMAGE_SOURCES + HASH_SOURCES + TEXT_SOURCES]


def _load_generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / NATIVE / "tools" / "generate.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    return generator


GENERATE = _load_generator()

# -ffp-contract=off: the same floating-point results on every CPU (measured: default flags differ).
# -g0 and -s: a release wheel carries no debug information (3.5 MB → 0.2 MB).
CXX_FLAGS = (
    ["/std:c++17", "/O2", "/utf-8"]
    if sys.platform == "win32"
    else ["-std=c++17", "-O2", "-g0", "-ffp-contract=off", "-fvisibility=hidden", "-Wall", "-Wextra"]
)
LINK_FLAGS = ["-s"] if sys.platform.startswith("linux") else []


class BuildWithGenerated(build_ext):
    """Writes the generated headers first, and makes them a dependency of every extension."""

    def build_extensions(self) -> None:
        generated = Path(self.build_temp) / "generated"
        GENERATE.write_all(generated)
        for extension in self.extensions:
            extension.include_dirs.insert(0, str(generated))
            extension.depends += [str(path) for path in sorted(generated.iterdir())]
        super().build_extensions()


headers = [
    path.relative_to(ROOT).as_posix()
    for folder in (NATIVE, Path("bindings/python"))
    for path in sorted((ROOT / folder).rglob("*.h"))
]
common = {
    "include_dirs": [(NATIVE / "include").as_posix()],
    "extra_compile_args": CXX_FLAGS,
    "extra_link_args": LINK_FLAGS,
    "depends": headers,
}

setup(
    ext_modules=[
        Pybind11Extension("safelight._native", ["bindings/python/_native.cpp", *CORE_SOURCES], cxx_std=17, **common),
        Pybind11Extension(
            "safelight._image",
            ["bindings/python/_image.cpp", *IMAGE_SOURCES, "native/src/status.cpp"],
            cxx_std=17,
            **common,
        ),
        Pybind11Extension(
            "safelight._hash",
            ["bindings/python/_hash.cpp", "bindings/python/_hash_index.cpp", *HASH_SOURCES],
            cxx_std=17,
            **common,
        ),
        *cythonize(
            [Extension("safelight._text", ["bindings/python/_text.pyx", *TEXT_SOURCES], **common)],
            build_dir=os.path.join("build", "cython"),
        ),
    ],
    cmdclass={"build_ext": BuildWithGenerated},
    package_data={"safelight": [*GENERATE.BUILTIN_DATA, "py.typed", "*.pyi"]},
)
