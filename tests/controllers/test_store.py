"""Controllers on disk: what is saved comes back; what is not ours is refused in one line and never unpickled."""

import json
import pickle

import gymnasium as gym
import pytest
import torch
from conftest import NAVIGATE, SWIM
from safetensors.torch import save_file

from lancelet import LanceletError, controllers
from lancelet.controllers import store


def make(name="ncap", id=SWIM, joints=5, **options):
    return controllers.make(name, gym.make(id, joints=joints), **options)


def stir(controller):
    """Weights and buffers that nothing else has."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in controller.state_dict().values():
            value += torch.rand(value.shape, generator=generator)
    return controller


def refused(path, match=None, **options):
    with pytest.raises(LanceletError, match=match) as error:
        controllers.load(path, **options)
    assert "\n" not in str(error.value) and str(error.value)


CASES = [
    ("ncap", {}),
    (
        "ncap",
        {
            "sharing": False,
            "sign": False,
            "init": "uniform",
            "period": 40,
            "lesions": ("sensor:2", "oscillator"),
        },
    ),
    (
        "ncap",
        {
            "speed": True,
            "turn": True,
            "command": (0.5, 0.25, 0.0),
            "turn_joints": 2,
            "joint_limit": 0.7,
        },
    ),
    ("mlp", {"hidden": (8, 4), "activation": "relu", "output": "linear", "lesions": ("layer1:2",)}),
    ("zero", {}),
    ("random", {"seed": 9}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_what_is_saved_comes_back(tmp_path, name, options):
    old = stir(make(name, **options))
    controllers.save(old, tmp_path, note="a note", seeds=[1, 2])
    new = controllers.load(tmp_path)
    assert type(new) is type(old) and new.options == old.options
    assert (new.observation_space, new.action_space) == (old.observation_space, old.action_space)
    assert old.state_dict().keys() == new.state_dict().keys()
    assert all(torch.equal(value, new.state_dict()[key]) for key, value in old.state_dict().items())
    seen = torch.randn(6, 23)
    with torch.no_grad():
        left, right = (c(seen, c.initial_state(6))[0] for c in (old, new))
    assert torch.equal(left, right)
    assert store.describe(tmp_path)["notes"] == {"note": "a note", "seeds": [1, 2]}
    assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]


def test_the_header_is_json_that_says_how_to_build_it(tmp_path):
    controllers.save(make(period=50), tmp_path / "mine.safetensors")
    about = store.describe(tmp_path / "mine.safetensors")
    assert (
        about["controller"] == "ncap" and about["options"]["period"] == 50 and about["format"] == 2
    )
    json.dumps(about, allow_nan=False)


def test_weights_of_five_joints_swim_in_nine(tmp_path):
    old = stir(make())
    controllers.save(old, tmp_path)
    new = controllers.load(tmp_path, env=gym.make(SWIM, joints=9))
    assert new.joints == 9 and torch.equal(new.ipsilateral, old.ipsilateral)
    with torch.no_grad():
        assert new(torch.zeros(1, 39), new.initial_state(1))[0].shape == (1, 9)
    clocked = controllers.load(
        tmp_path, env=gym.make_vec(NAVIGATE, num_envs=2, joints=3, clock=True)
    )
    assert clocked.joints == 3 and clocked.clocked


@pytest.mark.parametrize(("name", "options"), [("mlp", {}), ("ncap", {"sharing": False})])
def test_weights_that_do_not_fit_another_body_are_refused(tmp_path, name, options):
    controllers.save(make(name, **options), tmp_path)
    refused(tmp_path, "this controller and environment need", env=gym.make(SWIM, joints=9))


def test_dictionary_spaces_and_uneven_bounds_come_back():
    low, high = torch.tensor([0.0, -2.0]).numpy(), torch.tensor([1.0, float("inf")]).numpy()
    box = gym.spaces.Box(low, high)
    for space in (
        box,
        gym.spaces.Dict(a=box, b=gym.spaces.Box(-1, 1, (2, 3), float)),
        gym.spaces.Box(0, 1, (0,)),
    ):
        assert store._space_from_json(json.loads(json.dumps(store._space_to_json(space)))) == space


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "nowhere", "does not exist")
    refused(tmp_path, "holds no best.safetensors")


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 0.5, 0.99])
def test_a_file_cut_short_is_refused(tmp_path, keep):
    controllers.save(make("mlp"), tmp_path)
    path = tmp_path / "best.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    refused(tmp_path, "cut short")


@pytest.mark.parametrize(
    "data", [b"hello", b"\x00" * 4096, b"\xff" * 4096, b"PK\x03\x04" + b"\x00" * 100]
)
def test_a_foreign_file_is_refused(tmp_path, data):
    (tmp_path / "best.safetensors").write_bytes(data)
    refused(tmp_path, "not a controller of Lancelet")


def test_safetensors_of_others_are_refused(tmp_path):
    path = tmp_path / "best.safetensors"
    for header in (
        None,
        {"format": "pt"},
        {"lancelet": "not json"},
        {"lancelet": "[]"},
        {"lancelet": "{}"},
    ):
        save_file({"weight": torch.zeros(3)}, path, header)
        refused(tmp_path, "not a controller of Lancelet")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_never_unpickled(tmp_path, how):
    path, trap = tmp_path / "best.safetensors", Trap(tmp_path / "sprung")
    path.write_bytes(pickle.dumps(trap)) if how == "pickle" else torch.save(trap, path)
    refused(tmp_path, "not a controller of Lancelet")
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(trap)).close()
    assert (tmp_path / "sprung").exists(), "the trap works"


def tampered(folder, **changes):
    """A file of ours with a header that says otherwise; None takes a key out."""
    controllers.save(make(), folder)
    about = store.describe(folder) | changes
    about = {key: value for key, value in about.items() if value is not None}
    save_file(make().state_dict(), folder / "best.safetensors", {"lancelet": json.dumps(about)})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": 3, "lancelet": "9.9.9"}, "format 3, written by Lancelet '9.9.9'"),
        ({"controller": "ncap2"}, "unknown controller"),
        ({"controller": None}, "header"),
        ({"controller": 7}, "controller = 7: the header"),
        ({"options": None}, "header"),
        ({"options": {"tail": 3}}, r"header.*tail"),
        ({"options": {"period": 1}}, "period"),
        ({"options": {"period": "x"}}, "header"),
        ({"observation_space": None}, "header"),
        (
            {"observation_space": {"low": "a", "high": "b", "shape": [3], "dtype": "float32"}},
            "header",
        ),
        (
            {"action_space": {"low": "-1", "high": "1", "shape": [6], "dtype": "float32"}},
            "NCAP cannot read",
        ),
        ({"controller": "mlp", "options": {}}, "this controller and environment need"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, changes, match):
    tampered(tmp_path, **changes)
    refused(tmp_path, match)


def test_a_strangers_header_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    tampered(tmp_path, controller="stranger:ncap")
    refused(tmp_path, "unknown controller")
    assert not (tmp_path / "ran").exists()


def test_a_controller_that_nobody_registered_is_not_saved(tmp_path):
    class Stranger(controllers.Controller):
        pass

    box = gym.spaces.Box(-1, 1, (3,))
    with pytest.raises(LanceletError, match="not registered"):
        controllers.save(Stranger(box, box, controllers.Options()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_options_that_ask_for_more_than_the_files_weights_are_refused_before_they_are_built(
    tmp_path,
):
    tampered(tmp_path, controller="mlp", options={"hidden": [10**9, 64]})
    refused(tmp_path, "add up to 1,000,000,064: at most 1,000,000 are read")
    tampered(
        tmp_path, controller="mlp", options={"hidden": [500_000, 400_000]}
    )  # 800 GB of weights
    refused(tmp_path, "this controller and environment need")
    tampered(tmp_path, options={"seed": 2**63})
    controllers.load(tmp_path)
