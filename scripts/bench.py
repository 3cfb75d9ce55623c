"""Measure speed against peers, as ratios within one run: `lancelet bench envs|evolve`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lancelet import LanceletError
from lancelet.scripts import cli

BENCHES = "lancelet.scripts.benches"
"""package whose modules are the benches"""


@dataclass
class Bench:
    """Size and output of a bench."""

    quick: bool = False
    """fewer rounds, shorter episodes"""
    json: str | None = None
    """also write the rows here"""
    judge: bool = False
    """measure nothing: judge the rows in the --json file again by the present rule (value and interval)"""


def main(argv: list[str] | None = None) -> int | None:
    """Run a bench and print its rows; the exit status is 0 whatever they say."""
    # Nothing is drawn; dm_control would look for a display.
    os.environ.setdefault("MUJOCO_GL", "disable")
    (name,), flags = cli.words("bench", __doc__ or "", argv, subject=cli.module_names(BENCHES))
    options = cli.parse(f"bench {name}", __doc__ or "", flags, options=Bench).options
    module = cli.by_file(BENCHES, "bench", name)

    import torch

    from lancelet.scripts.rows import from_json, header, judged_again, show, to_json

    torch.set_num_threads(1)
    if options.judge:
        if options.json is None or not Path(options.json).exists():
            raise LanceletError(f"bench: --json {options.json}: --judge needs a file of rows there")
        rows = [judged_again(row) for row in from_json(options.json)]
    else:
        rows = module.run(options.quick)
    show(rows, f"bench {name}")
    if not options.judge:
        for key, value in header().items():
            print(f"{key}: {value}")
    if options.json:
        to_json(rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(cli.guard(main))
