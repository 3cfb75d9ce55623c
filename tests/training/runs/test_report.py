"""Figures of episodes that failed: left out of the means, and counted."""

import json

import numpy as np

from lancelet import files
from lancelet.scripts import play
from lancelet.training.rollout import Score
from lancelet.training.runs.report import summary_rows


def score():
    """Three episodes of which the middle one failed."""
    return Score(
        returns=np.array([1.0, 500.0, 2.0]),
        lengths=np.array([10, 1, 10]),
        metrics={"speed": np.array([0.1, np.nan, 0.3]), "success": np.array([1.0, np.nan, 1.0])},
        failed=np.array([False, True, False]),
    )


def summary():
    trained = {name: values.tolist() for name, values in score().figures.items()}
    trained["failed"] = score().failed.astype(float).tolist()
    untrained = {
        "return": [1.0, 1.0],
        "speed": [0.5, 0.5],
        "success": [0.0, 0.0],
        "failed": [0.0, 0.0],
    }
    return {"untrained": untrained, "trained": trained}


def test_the_table_of_a_run_leaves_failures_out_and_counts_them():
    rows = {name: cells for name, *cells in summary_rows(summary())}
    assert rows["return"][1].startswith("1.5 [")
    assert rows["speed"] == ["0.5 [0.5, 0.5]", rows["speed"][1]]
    assert rows["speed"][1].startswith("0.2 [")
    assert rows["success"][1].startswith("0.6667 [")
    assert rows["failed"] == ["0 of 2", "1 of 3"]


def test_a_summary_read_back_from_json_gives_the_same_table():
    again = json.loads(files.to_json(summary()))
    assert again["trained"]["speed"] == [0.1, None, 0.3]
    assert summary_rows(again) == summary_rows(summary())


def test_without_failures_there_is_no_row_of_them():
    without = summary()
    without["trained"] = without["untrained"]
    assert [name for name, *_ in summary_rows(without)] == ["return", "speed", "success"]
    for which in without:
        del without[which]["failed"]  # a summary of an earlier version
        break
    assert [name for name, *_ in summary_rows(without)] == ["return", "speed", "success"]


def test_where_all_failed_the_table_says_none():
    all_failed = summary()
    all_failed["trained"]["speed"] = [float("nan")] * 3
    assert dict((name, cells) for name, *cells in summary_rows(all_failed))["speed"][1] == "none"


def test_plays_mean_row_is_of_the_episodes_that_did_not_fail(capsys):
    play._print(score(), seed=4)
    last = capsys.readouterr().out.splitlines()[-2].split()
    assert last == ["mean", "1.50", "7", "0.2", "0.6667", "1", "of", "3"]
