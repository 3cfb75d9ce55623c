"""Training configurations as files: numbers as people write them, and as they are written again."""

import numpy as np
import pytest

from lancelet import LanceletError
from lancelet.training.config import Config, read

HEAD = "task: swim\ncontroller: ncap\nalgorithm: pgpe\n"


def written(path, options):
    path.write_text(f"{HEAD}algorithm_options: {options}\n")
    return read(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E-3", 1e-3),
        ("2e3", 2000.0),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("0.5", 0.5),
        ("2", 2),
    ],
)
def test_an_exponent_needs_no_dot_and_no_sign(tmp_path, text, value):
    config = written(tmp_path / "c.yaml", f"{{center_rate: {text}, stdev: {text}}}")
    assert config.algorithm_options == {"center_rate": value, "stdev": value}
    config.trainer().check()


@pytest.mark.parametrize("text", ["'1e-3'", "1e", "e-3", "1e-3x", "1e999"])
def test_what_is_no_finite_number_is_refused(tmp_path, text):
    config = written(tmp_path / "c.yaml", f"{{stdev: {text}}}")
    with pytest.raises(LanceletError, match=r"stdev = .* must be a finite number"):
        config.trainer().check()


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    config = Config(
        "swim", "mlp", "pgpe", {"density": np.float64(900)}, {"hidden": np.array([8, 4])}, {}
    )
    config.write(tmp_path / "c.yaml")
    again = read(tmp_path / "c.yaml")
    assert again.task_options == {"density": 900.0}
    assert again.controller_options == {"hidden": [8, 4]}
