"""Django's own source distribution, of the version that is installed: fetched once into .cache/ and unpacked
there.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django
import pytest

from tests.integration.harness import REPOSITORY


@pytest.fixture(scope="session")
def django_source() -> Path:
    """The folder with Django's `tests/runtests.py`."""
    version = django.get_version()
    cache = REPOSITORY / ".cache"
    source = cache / f"django-{version}"
    if not (source / "tests" / "runtests.py").exists():
        cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            wanted = ["--no-deps", "--no-binary", ":all:", "--dest", folder, f"django=={version}"]
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *wanted], check=True, timeout=150)
            (archive,) = Path(folder).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
            (Path(folder) / f"django-{version}").rename(source)
    return source
