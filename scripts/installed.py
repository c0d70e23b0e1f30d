"""What layers that need more than cargo have in common: programs that cargo built, packages that are installed once
into target/, and how a layer says that it cannot run here."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77


def program(name, folder=""):
    """A program of ours, built by cargo."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    file = target / "debug" / folder / name
    if not file.exists():
        sys.exit(f"{file} is missing: build it with `cargo build --workspace --all-targets`")
    return file


def skip(reason):
    """Ends the layer as skipped: the reason is printed here and again in the summary of all layers."""
    print(f"{Path(sys.argv[0]).name}: SKIPPED: {reason}", flush=True)
    note = os.environ.get("SYNCBRIDGE_LAYER_NOTE")
    if note:
        Path(note).write_text(reason, encoding="utf-8")
    sys.exit(SKIPPED)


def key(*files):
    """A name for what is made of these files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def prepared(folder, make):
    """A folder that `make` fills once; an interrupted attempt leaves nothing that would be taken for it."""
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        make(part)
        part.rename(folder)
        print(f"made {folder.relative_to(ROOT)} in {time.monotonic() - begin:.1f} s", flush=True)
    return folder


def node(sources, work, suite):
    """The path of a suite beside the packages that the lock file in `sources` names."""
    lock = [sources / "package.json", sources / "package-lock.json"]

    def make(folder):
        folder.mkdir()
        for file in lock:
            shutil.copy(file, folder)
        npm = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(npm, cwd=folder, check=True)

    if shutil.which("npm") is None or shutil.which("node") is None:
        skip("node and npm (Node 20 or newer) are missing")
    folder = prepared(work / f"node-{key(*lock)}", make)
    # Node looks for packages beside the file, not beside the working directory.
    shutil.copy(sources / suite, folder / suite)
    return folder / suite
