from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest
import yaml

from lancelet import LanceletError, controllers
from lancelet.envs.swim import Swim, SwimNavigate
from lancelet.morphology import model_hash
from lancelet.training import evaluate
from lancelet.training.rollout import make_env, rollout
from lancelet.training.runs.folder import FORMAT
from lancelet.training.video import opengl as gl
from lancelet.training.video import video

needs_gl = pytest.mark.skipif(gl.probe() is None, reason="no OpenGL here")
ID, OPTIONS = "lancelet/SwimNavigate-v0", {"joints": 3, "max_episode_steps": 12}


@pytest.fixture
def run(tmp_path):
    """A run folder that was killed before its episode was recorded."""
    folder = tmp_path / "run"
    folder.mkdir()
    (model,) = SwimNavigate(joints=3).models()
    config = {
        "format": FORMAT,
        "task": ID,
        "task_options": OPTIONS,
        "model_hash": model_hash(model),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    controllers.save(controllers.make("ncap", make_env(ID, 1, **OPTIONS)), folder)
    return folder


def size_of(path):
    reader = imageio_ffmpeg.read_frames(str(path))
    try:
        return next(reader)["size"]
    finally:
        reader.close()


def test_a_missing_episode_is_swum_again(run):
    record = video.episode(run)
    circuit = controllers.load(run)
    again = evaluate(circuit, ID, episodes=1, record=True, **OPTIONS).record
    assert record["qpos"].shape == (13, 6) and np.array_equal(record["qpos"], again["qpos"])
    with np.load(run / "episode.npz", allow_pickle=False) as file:
        assert np.array_equal(file["mocap_pos"], again["mocap_pos"])


@needs_gl
def test_the_film_has_every_frame(run, capsys):
    drawn = []
    path = video.render_run(run, width=96, height=64, progress=drawn.append)
    assert path == run / "video.mp4" and sum(drawn) == 13
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == 13 and seconds == pytest.approx(13 * 0.03, abs=0.04)
    assert size_of(path) == (96, 64)
    assert not list(run.glob(".*")) and capsys.readouterr().err == ""


@needs_gl
@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_other_forms(run, name):
    path = video.render_run(run, run / name, shadows=True)
    assert size_of(path) == {"a.gif": (320, 240), "a.png": (1200, 400)}[name]


@pytest.mark.slow
@needs_gl
def test_the_body_is_in_the_picture_and_the_camera_follows(tmp_path):
    from matplotlib.image import imread

    (model,) = Swim(joints=5).models()
    for x in (0.0, 25.0):
        record = {"qpos": np.zeros((1, 8), np.float32)}
        record["qpos"][:, 0] = x
        path = video.draw(model, record, tmp_path / "one.mp4", 30, 160, 120)
        frame = (
            np.frombuffer(list(imageio_ffmpeg.read_frames(str(path)))[1], np.uint8).reshape(
                120, 160, 3
            )
            / 255.0
        )
        orange = (frame[..., 0] - frame[..., 2]) > 0.35
        rows, columns = np.nonzero(orange)
        assert 150 < len(rows) < 2000
        assert abs(columns.mean() - 80) < 8 and 35 < rows.mean() < 85
        assert frame[~orange].mean() > 0.7
    still = imread(video.draw(model, record, tmp_path / "one.png", 30))
    assert ((still[..., 0] - still[..., 2]) > 0.35).sum() > 1000


def _frames(path, width, height):
    pictures = list(imageio_ffmpeg.read_frames(str(path)))[1:]
    return (
        np.stack([np.frombuffer(one, np.uint8).reshape(height, width, 3) for one in pictures])
        / 255.0
    )


def test_walls_that_move_within_an_episode_are_recorded_where_they_were():
    maze = ("#####", "#...#", "#...#", "#...#", "#####")
    shut = ("#####", "#...#", "#.#.#", "#...#", "#####")
    env = make_env(
        "lancelet/PointMaze-v0", 1, 6, 1, maze_map=maze, reset_cell=(1, 1), goal_cell=(3, 3)
    )
    agents = controllers.Population(controllers.make("random-held", env), 1)

    def close(step):
        if step == 3:
            env.task.set_walls(env.sim, shut)

    score, _ = rollout(env, agents, 0, record=True, on_step=close)
    block = env.sim.model.geom("block_2_2").id
    assert score.record["geom_pos"].shape == (7, env.sim.model.ngeom, 3)
    np.testing.assert_allclose(
        score.record["geom_pos"][:, block, 2], [-5.0] * 4 + [0.2] * 3, atol=1e-6
    )


@needs_gl
def test_a_film_shows_walls_where_they_were_and_lines_drawn_in(tmp_path):
    env = make_env("lancelet/PointMaze-v0", 1, maze="open", nthread=1)
    model, block = env.sim.model, env.sim.model.geom("block_2_3").id
    geoms = np.tile(model.geom_pos, (3, 1, 1))
    geoms[1:, block, 2] = 0.2
    line = [[-1.5, -0.9, 0.6, 1.5, -0.9, 0.6, 1, 0, 0, 1]]
    record = {
        "qpos": np.tile([-2.0, 0.0], (3, 1)), "mocap_pos": np.tile([0.0, 9.0, 0.0], (3, 1, 1)),
        "mocap_quat": np.tile([1.0, 0, 0, 0], (3, 1, 1)), "geom_pos": geoms, "lines": np.array(line),
        "lines_of": np.array([[0, 0], [0, 0], [0, 1]]),
    }  # fmt: skip
    free, walled, lined = _frames(
        video.draw(model, record, tmp_path / "a.mp4", 10, 320, 240), 320, 240
    )
    middle = (slice(112, 124), slice(152, 168))
    assert free[middle].mean() > 0.7 > 0.6 > walled[middle].mean()
    red = [int(((one[..., 0] - one[..., 2]) > 0.4).sum()) for one in (walled, lined)]
    assert red[1] > red[0] + 200


@needs_gl
def test_another_body_than_the_runs_is_told(run, capsys):
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "model_hash": "0" * 16}))
    video.render_run(run, run / "a.png")
    assert "another body" in capsys.readouterr().err


def test_no_opengl_is_one_line_that_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(gl, "candidates", lambda: ["foo"])
    (run / "video.mp4").write_bytes(b"before")
    with pytest.raises(LanceletError, match="apt-get install -y libegl1") as error:
        video.render_run(run)
    assert "\n" not in str(error.value) and (run / "video.mp4").read_bytes() == b"before"
    assert "invalid value" in gl.reasons()["foo"]


@needs_gl
def test_a_drawing_that_fails_leaves_what_was_there(run, monkeypatch):
    monkeypatch.setattr(gl, "probe", lambda: "foo")
    (run / "video.mp4").write_bytes(b"before")
    with pytest.raises(LanceletError, match="MUJOCO_GL=foo failed"):
        video.render_run(run)
    assert (run / "video.mp4").read_bytes() == b"before"


@needs_gl
@pytest.mark.parametrize("link", [".video.tmp.mp4", "video.mp4"])
def test_a_strangers_link_is_replaced_and_what_it_leads_to_stays(run, tmp_path, link):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (run / link).symlink_to(precious)
    path = video.render_run(run, width=96, height=64)
    assert precious.read_text() == "mine"
    assert not path.is_symlink()
    assert size_of(path) == (96, 64)


@needs_gl
def test_a_full_disk_is_told_as_such(run, monkeypatch):
    monkeypatch.setattr(
        gl, "probe", lambda: "foo"
    )  # the drawing fails, as it does when ffmpeg cannot write
    monkeypatch.setattr(video.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(LanceletError, match="the disk is full"):
        video.render_run(run, run / "deep" / "film.mp4")


def _no_folder(run):
    return run / "none"


def _no_config(run):
    (run / "config.yaml").unlink()
    return run


def _other_format(run):
    (run / "config.yaml").write_text("format: 99\n")
    return run


def _torn_config(run):
    (run / "config.yaml").write_text("format: [1")
    return run


def _torn_episode(run):
    video.episode(run)
    whole = (run / "episode.npz").read_bytes()
    (run / "episode.npz").write_bytes(whole[: len(whole) // 2])
    return run


def _pickled_episode(run):
    np.savez(run / "episode.npz", qpos=np.array([{"a": 1}], object))
    return run


def _nothing_trained(run):
    (run / "best.safetensors").unlink()
    return run


def _no_qpos(run):
    np.savez(run / "episode.npz", reward=np.zeros(3))
    return run


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_no_folder, "does not exist"),
        (_no_config, "no config.yaml"),
        (_other_format, "format 99"),
        (_torn_config, "cut short"),
        (_torn_episode, "cut short"),
        (_pickled_episode, "no record"),
        (_nothing_trained, "no best.safetensors"),
        (_no_qpos, "only MuJoCo tasks"),
    ],
)
def test_broken_run_folders_are_one_line(run, spoil, says):
    with pytest.raises(LanceletError, match=says) as error:
        video.render_run(spoil(run))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 7}, "width = 7"),
        ({"height": 5000}, "height = 5000"),
        ({"out": "film.avi"}, "must end in"),
    ],
)
def test_sizes_and_names_that_cannot_be(run, options, says):
    with pytest.raises(LanceletError, match=says):
        video.render_run(run, **options)


def test_a_strangers_run_folder_imports_no_module_unless_trusted(run, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "task": "evil:mine/Task-v0"}))
    with pytest.raises(LanceletError, match=r"'evil'.*--trust"):
        video.render_run(run)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(LanceletError, match="unknown task"):
        video.render_run(run, trust=True)
    assert (tmp_path / "executed").exists()


def test_a_task_option_that_names_a_class_imports_nothing(run, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = yaml.safe_load((run / "config.yaml").read_text())
    for options in ({"task": "evil:Task"}, {"wrappers": ["evil:Task"]}, {"nthread": 4}, {"n": 7}):
        (run / "config.yaml").write_text(yaml.safe_dump({**config, "task_options": options}))
        for trust in (False, True):
            with pytest.raises(LanceletError, match="unknown option of task"):
                video.render_run(run, trust=trust)
    with pytest.raises(LanceletError, match="unknown option of task"):
        make_env("lancelet/Swim-v0", 1, task="evil:Task")
    assert not (tmp_path / "executed").exists()
