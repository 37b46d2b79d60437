"""Build the wheel, install it in a fresh environment outside the checkout, and run every scenario from there.

Run by `make test`. Fails if the wheel holds more than one top-level name, lacks its data, needs a package
that it does not declare, or cannot answer one of the shipped scenarios.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("hardware_specs", "scenarios", "measurements", "schemas")


def run(*command: str | Path, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )


def must(result: subprocess.CompletedProcess[str], what: str) -> str:
    if result.returncode:
        sys.exit(
            f"wheel check: {what} failed with {result.returncode}\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
        )
    return result.stdout


def build(folder: Path) -> Path:
    # The source archive first and the wheel from it, as a package index would do.
    must(run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder), "build")
    return next(folder.glob("*.whl"))


def check_content(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    if top != {"simulator"}:
        sys.exit(f"wheel check: top-level names {sorted(top)}, expected only simulator")
    for folder in FOLDERS:
        files = [
            p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix in (".yaml", ".csv", ".json")
        ]
        absent = [p for p in files if f"simulator/_data/{p.relative_to(ROOT).as_posix()}" not in names]
        if absent or not files:
            sys.exit(f"wheel check: {folder} has {len(files)} files, absent from the wheel: {absent[:3]}")
    static = [p.name for p in (ROOT / "simulator" / "web" / "static").iterdir()]
    absent = [name for name in static if f"simulator/web/static/{name}" not in names]
    if absent or len(static) < 3:
        sys.exit(f"wheel check: files of the served page absent from the wheel: {absent or 'all'}")


def install(wheel: Path, folder: Path) -> Path:
    must(run(sys.executable, "-m", "venv", folder / "venv", cwd=folder), "venv")
    bin_folder = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = (
        bin_folder / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--quiet",
        "install",
        "--no-compile",
    )
    must(run(*pip, wheel, cwd=folder), "pip install")
    return bin_folder


def check_scenarios(bin_folder: Path, elsewhere: Path) -> int:
    verbs = must(run(bin_folder / "trainsim", "--help", cwd=elsewhere), "--help")
    if "\n  run " not in verbs:
        sys.exit("wheel check: the command run is absent")
    names = sorted(path.stem for path in (ROOT / "scenarios").glob("*.yaml"))
    if not names:
        sys.exit("wheel check: no scenarios are shipped")
    for name in names:
        result = run(bin_folder / "trainsim", "run", name, "--json", cwd=elsewhere)
        # A scenario may ask for a plan that does not fit: exit 1, and the document says by how much.
        if result.returncode != 1:
            must(result, f"run {name}")
        document = json.loads(result.stdout)
        said = document.get("infeasible", {}).get("text") if result.returncode else document["answer"]
        if not said or (result.returncode == 1) != ("infeasible" in document):
            sys.exit(f"wheel check: {name} ends in {result.returncode} without a matching answer")
    return len(names)


def main() -> int:
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trainsim-wheel-") as name:
        folder = Path(name)
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        wheel = build(folder)
        check_content(wheel)
        bin_folder = install(wheel, folder)
        where = must(
            run(bin_folder / "python", "-c", "import simulator; print(simulator.__file__)", cwd=elsewhere),
            "import",
        )
        if str(ROOT) in where:
            sys.exit(f"wheel check: the checkout was imported instead of the wheel: {where}")
        must(run(bin_folder / "trainsim", "schema", "--check", cwd=elsewhere), "schema --check")
        must(run(bin_folder / "trainsim", "warnings", "evidence", cwd=elsewhere), "warnings evidence")
        count = check_scenarios(bin_folder, elsewhere)
    print(f"wheel check: built, installed, {count} scenarios answered, {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
