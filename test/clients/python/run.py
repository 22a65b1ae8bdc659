"""`npm run test:clients`: the Python clients against turnpike processes. Needs python3 and, once, PyPI.

The newest releases of some clients cannot be installed beside the newest `openai`, so there are two environments,
one per folder with a requirements.txt; what is in both/ runs in either. They are kept in a cache and made anew when
those pins change. Arguments are handed to pytest. Ends with the line `N passed, N failed`.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turnpike-ci"


def environment(folder: Path) -> Path:
    """The Python of the folder's environment, made where there is none yet."""
    requirements = folder / "requirements.txt"
    pins = requirements.read_bytes() + sys.version.encode()
    home = CACHE / f"python-{folder.name}-{hashlib.sha256(pins).hexdigest()[:12]}"
    python = home / "bin" / "python"
    done = home / "complete"
    if done.exists():
        return python
    print(f"installing {requirements.relative_to(HERE)} into {home}", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    subprocess.run([python, *install, "--requirement", requirements], check=True)
    done.touch()
    return python


def run(folder: Path, arguments: list[str]) -> tuple[int, int]:
    """How many tests passed and failed; a run that cannot report counts as failed."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        options = ["-p", "no:cacheprovider", "-ra", f"--junit-xml={report}", *arguments]
        python = environment(folder)
        command = [python, "-m", "pytest", folder.name, "both", *options]
        code = subprocess.run(command, cwd=HERE).returncode
        if not report.exists():
            return 0, 1
        suite = ElementTree.parse(report).getroot().find("testsuite")
        count = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
        failed = count["failures"] + count["errors"]
        passed = count["tests"] - failed - count["skipped"]
        return passed, failed or int(code != 0)


def main() -> int:
    folders = sorted(file.parent for file in HERE.glob("*/requirements.txt"))
    results = [run(folder, sys.argv[1:]) for folder in folders]
    passed, failed = (sum(column) for column in zip(*results))
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


sys.exit(main())
