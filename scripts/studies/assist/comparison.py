"""Our tasks beside those of Assistive Gym (Erickson et al. 2020), G1 to G8: what is alike, and what is not.

Their figures are facts of their public code, told in docs/systems/assist.md, "Against Assistive Gym".
"""

from __future__ import annotations

import math

from lancelet.assist_layout import COMMAND_COUNT, CONTROL_PERIOD
from lancelet.envs.assist import drawer, drink, feed, fetch, scratch, wipe
from lancelet.scripts.rows import Row
from lancelet.scripts.study import Study

LONG_EPISODES = "180 to 300 s"
"""of the tasks' ids"""


def comparison_rows(study: Study) -> None:
    """Definitions side by side; nothing is measured."""
    for row in definitions():
        study.add(row)


def definitions() -> list[Row]:
    """G1 to G8."""
    wiped = f"{wipe.SHARE:.0%} of {wipe.PATCH_COUNT} patches, {wipe.LEAST_FORCE:g} to {wipe.LARGEST_FORCE:g} N"
    scratched = (
        f"{scratch.STROKES} strokes: within {1000 * scratch.ITCH_RADIUS:.0f} mm, "
        f"{1000 * scratch.STROKE_LENGTH:.0f} mm apart, below {scratch.LARGEST_FORCE:g} N"
    )
    fed = (
        f"spoon within {1000 * feed.MOUTH_RADIUS:.0f} mm of the mouth for {feed.DWELL:g} s, "
        f"tilt below {math.degrees(feed.LARGEST_TILT):.0f} degrees, force below {feed.LARGEST_FORCE:g} N"
    )
    drunk = (
        f"rim within {1000 * feed.MOUTH_RADIUS:.0f} mm of the mouth, "
        f"tilted by {math.degrees(drink.DRINKING_TILT):.0f} degrees for {drink.DWELL:g} s"
    )
    fetched = f"a {2000 * fetch.BOX_HALF:.0f} mm box to within {fetch.DELIVERED:g} m of the hand"
    return [
        _row(
            "G1 control steps and their length",
            ours=f"{1 / CONTROL_PERIOD:.0f} Hz; {LONG_EPISODES}, or 25 s (short)",
            theirs="10 Hz; 20 s",
            note="long episodes give the time that a person needs who steers by gestures",
        ),
        _row(
            "G2 degrees of freedom that are commanded",
            ours=f"{COMMAND_COUNT}: drive, turn, lift, arm, wrist yaw, pitch, roll, gripper",
            theirs="their Stretch: lift, arm, wrist yaw, and the wheels",
            note="speeds in both",
        ),
        _row(
            "G3 scratch: success",
            ours=scratched,
            theirs="25 strokes: within 25 mm, 10 mm apart, below 10 N",
            note="a stroke is alike; fewer are asked for",
        ),
        _row(
            "G4 feed: success",
            ours=fed,
            theirs="75 % of the food particles within 30 mm of the mouth",
            note="the radius is alike; a tilt limit stands for particles",
        ),
        _row(
            "G5 drink: success",
            ours=drunk,
            theirs="75 % of the water particles reach the mouth",
            note="a tilt at the mouth, and none before it, stands for particles",
        ),
        _row(
            "G6 wipe: success",
            ours=wiped,
            theirs="30 % of the points on an arm",
            note="theirs has no band of forces",
        ),
        _row(
            "G7 fetch and drawer: success",
            ours=f"{fetched}; a drawer pulled {drawer.OPEN:g} m",
            theirs="no such tasks",
            note="dressing and moving the person's arm are theirs alone",
        ),
        _row(
            "G8 unsafe end",
            ours="a force above the limit in any 2 ms substep ends the episode (20 N; at the mouth 10 N)",
            theirs="forces cost reward, and end nothing",
        ),
    ]


def _row(name: str, ours: str, theirs: str, note: str = "") -> Row:
    """A row of words."""
    return Row(name, "info", ours, reference=theirs, note=note)
