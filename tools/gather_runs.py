"""Gather what long runs left in a folder into notebooks/results.

    python tools/gather_runs.py                      the records of build/runs
    python tools/gather_runs.py DIR                  those of another folder
    python tools/gather_runs.py --weights "climb_*"  and the weights of some of them
    python tools/gather_runs.py --replace            also over records that say something else

A record DIR/NAME.json becomes a line of notebooks/results/runs.jsonl, an object that begins with
"name": "NAME"; the lines stand by name, so that a run that is added or made anew is one line of a
diff. What is there already stays as it is, and to gather twice changes nothing. A run that is there
with other content is refused, and then nothing is written, unless --replace is given. DIR/NAME.npz
goes to notebooks/results/weights if asked for; the repository keeps the weights that a notebook
looks into, and no others.
"""

import argparse
import hashlib
import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rrnn.checkpoints import load_checkpoint, replacing  # noqa: E402
from rrnn.experiments import load_records  # noqa: E402

RESULTS, WORK = ROOT / "notebooks" / "results", ROOT / "build" / "runs"


def gather(folder, into, weights=None, replace=False):
    """The records of folder become lines of into/runs.jsonl, the weights of the runs whose name
    fits the pattern go to into/weights; returns the names of the files that were written. Raises
    ValueError, before anything is written, for a run that is there with other content, and for
    weights that are not those of their record."""
    found, lines = load_records(folder), into / "runs.jsonl"
    stored = load_records(into) if lines.exists() else {}
    other = [name for name in found if name in stored and stored[name] != found[name]]
    if other and not replace:
        what = f"{', '.join(other)} with other content; --replace takes what is in {folder}"
        raise ValueError(f"{lines} has {what}")

    records = stored | found
    text = [json.dumps({"name": name} | records[name]) + "\n" for name in sorted(records)]
    files = {lines: "".join(text).encode()}
    for name in found:
        path = Path(folder, f"{name}.npz")
        if weights and fnmatchcase(name, weights) and path.exists():
            model, _ = load_checkpoint(path)
            if hashlib.sha256(model.flat.tobytes()).hexdigest() != found[name]["sha256"]:
                raise ValueError(f"{path} has not the weights of its record")
            files[into / "weights" / path.name] = path.read_bytes()
    changed = {path: content for path, content in files.items()
               if not path.exists() or path.read_bytes() != content}  # fmt: skip
    for path, content in changed.items():
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    return [path.name for path in changed]


def main():
    """The command line; returns the exit status, or what went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=WORK, help="default: build/runs")
    parser.add_argument("--weights", metavar="PATTERN", help="runs whose weights are kept, too")
    parser.add_argument("--replace", action="store_true", help="take the place of other records")
    options = parser.parse_args()
    try:
        written = gather(options.folder, RESULTS, options.weights, options.replace)
    except ValueError as error:
        return f"error: {error}"
    print(f"written: {', '.join(written)}" if written else "nothing new")
    return 0


if __name__ == "__main__":
    sys.exit(main())
