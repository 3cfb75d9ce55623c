import ast
import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_example_is_short_and_trains(tmp_path):
    code = blocks("python")[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    (tmp_path / "pole.py").write_text(code)
    done = subprocess.run([sys.executable, "pole.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = ast.literal_eval(done.stdout)
    assert sum(summary["trained"]["return"]) > 2 * sum(summary["untrained"]["return"])
    command = [sys.executable, "-m", "lancelet.scripts.main", "train", "pole:balance", "pole:linear", "--test", "2"]
    done = subprocess.run([*command, "--generations", "1"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_readme_exists():
    listed = set(re.findall(r"^\.venv/bin/lancelet (\w+)", README, re.M))
    from lancelet.scripts.main import commands

    assert listed and listed <= set(commands())
    assert Path("results/readme/swimmer.png").name in README
