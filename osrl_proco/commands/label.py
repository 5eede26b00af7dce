"""`osrl-proco label`."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import UserError
from ..run import settings

_HELP = """\
usage: osrl-proco label --preferences FILE.json --safety_labels FILE.json [--picture FILE.png]
                        [--task ID] [--dataset FILE] [--num_pairs N] [--segment_steps L] [--seed S] [--safe_only ...]

Compare segments of the training data: each pair is drawn side by side into the picture, then you say which of them is
better and which are unsafe. Both files are written after every answer; the same command goes on with them later.
Train on them with the same data flags: osrl-proco train --algo presa --preferences FILE --safety_labels FILE

flags: --picture (default: pair.png beside the preferences); all of train that say which data: --task, --dataset,
  --safe_only, --unsafe_share, --keep_unsafe, --seed, --accept; --num_pairs and --segment_steps of presa
"""


def main(argv: list[str]) -> int:
    """Ask a person about pairs of segments."""
    if not argv or "-h" in argv or "--help" in argv:
        print(_HELP)
        return 0
    words, preferences = settings.take(argv, "--preferences")
    words, safety = settings.take(words, "--safety_labels")
    words, picture = settings.take(words, "--picture")
    for flag, file in (("--preferences", preferences), ("--safety_labels", safety)):
        if file is None:
            raise UserError(f"label: {flag} FILE.json is missing")
        if not Path(file).parent.is_dir():
            raise UserError(f"{flag} {file}: the folder {Path(file).parent} does not exist")
    assert preferences is not None
    assert safety is not None
    out = Path(picture) if picture else Path(preferences).with_name("pair.png")
    if out.suffix.lower() != ".png":
        raise UserError(f"--picture {out}: the name must end in .png")
    config = settings.parse(["--algo", "presa", *words])
    from ..run.labelling import label

    count = label(config, Path(preferences), Path(safety), out, input)
    if count:
        print(f"{count} pairs in {preferences}, their labels in {safety}")
    return 0
