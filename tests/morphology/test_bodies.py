import dataclasses
import json

import numpy as np
import pytest

from lancelet import LanceletError, morphology
from lancelet.morphology.swimmer import Swimmer

BODIES = [
    morphology.make("swimmer"),
    morphology.make("swimmer", joints=3, lengths=(0.1, 0.2, 0.1, 0.05)),
    morphology.make("swimmer", joints=9, mass=0.02, joint_limit=0.4, gear=1e-3),
    morphology.make("blimp"),
    morphology.make("blimp", film_mass=0.06, lidar_range=(0.2, 5.0)),
    morphology.make("arm", upper_mass=2.0, shoulder_arm=(-0.02, 0.02, 0.0, 0.0, -0.02, 0.02)),
    morphology.make("arm-native"),
    morphology.make("braitenberg", sensor_1=(-0.5, 0.125)),
    morphology.make("creature"),
    morphology.make("manipulator"),
    morphology.make("manipulator", base="wheels", arm="four-slide", tool="cup", base_mass=20.0),
    morphology.make("swimmer", joints=3, joint_limit=(0.4, 0.5, 0.6)),
]


def digest(body):
    return morphology.model_hash(body.build().compile())


@pytest.mark.parametrize("body", BODIES)
def test_a_body_makes_the_way_through_json(body):
    text = json.dumps(morphology.to_json(body), allow_nan=False)
    again = morphology.from_json(json.loads(text))
    assert again == body and digest(again) == digest(body)


@pytest.mark.parametrize("body", BODIES)
def test_building_is_deterministic_and_leaves_the_body_alone(body):
    before = dataclasses.asdict(body)
    assert digest(body) == digest(body)
    assert dataclasses.asdict(body) == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        body.timestep = 1.0


def test_the_hash_is_the_same_in_every_process(python):
    code = "from lancelet import morphology as m; print(m.model_hash(m.make('swimmer', joints=7).build().compile()))"
    here = digest(morphology.make("swimmer", joints=7))
    for seed in ("1", "2"):
        assert python(code, PYTHONHASHSEED=seed).stdout.strip() == here


def test_the_hash_tells_bodies_apart():
    field = {
        "joints": 6,
        "lengths": 0.11,
        "mass": 0.011,
        "thickness": 0.003,
        "height": 0.03,
        "gear": 6e-4,
    }
    field |= {"armature": 2e-6, "joint_limit": 1.0, "timestep": 0.001}
    hashes = {digest(morphology.make("swimmer", **{name: value})) for name, value in field.items()}
    assert len(hashes | {digest(morphology.make("swimmer"))}) == len(field) + 1
    assert all(len(one) == 16 for one in hashes)


def test_unknown_names_are_refused_with_near_ones():
    with pytest.raises(LanceletError, match="did you mean swimmer"):
        morphology.make("swimer")
    with pytest.raises(LanceletError, match="did you mean joints"):
        morphology.from_json({"name": "swimmer", "joint": 3})
    with pytest.raises(LanceletError, match="unknown body"):
        morphology.from_json({"joints": 3})


def test_an_unknown_parameter_of_make_is_refused_with_near_names():
    with pytest.raises(LanceletError, match="did you mean joints"):
        morphology.make("swimmer", joint=3)


def test_a_body_that_nobody_registered_has_no_json():
    @dataclasses.dataclass(frozen=True)
    class Stranger(morphology.Body):
        def build(self):
            raise NotImplementedError

    with pytest.raises(LanceletError, match="not registered"):
        morphology.to_json(Stranger())


def test_json_from_a_stranger_imports_nothing(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LanceletError, match="unknown body"):
        morphology.from_json({"name": "stranger:swimmer"})
    assert not (tmp_path / "ran").exists()


def test_the_hash_does_not_see_colours_and_cameras():
    body = morphology.make("swimmer", joints=3)
    spec = body.build()
    spec.geoms[-1].rgba = [0, 1, 0, 1]
    spec.worldbody.add_camera(name="another")
    spec.worldbody.add_light(pos=[0, 0, 3])
    assert morphology.model_hash(spec.compile()) == digest(body)


def test_parameters_may_be_numbers_and_arrays_of_numpy():
    plain = morphology.make("swimmer", joints=2, lengths=(0.25, 0.5, 0.25), mass=0.5)
    numbers = {
        "joints": np.int64(2),
        "lengths": np.array([0.25, 0.5, 0.25], np.float32),
        "mass": np.float64(0.5),
    }
    made = morphology.make("swimmer", **numbers)
    built = Swimmer(**numbers)  # as the class is called where no name is at hand
    assert made == built == plain
    assert json.dumps(morphology.to_json(built)) == json.dumps(morphology.to_json(plain))
    with pytest.raises(
        LanceletError, match=r"Swimmer.joints = 2\.0 \(of type float\): must be a whole number"
    ):
        morphology.make("swimmer", joints=np.float64(2))
    with pytest.raises(
        LanceletError, match=r"Swimmer.lengths = \(0\.1, nan, 0\.1\): must be finite"
    ):
        morphology.make("swimmer", joints=2, lengths=np.array([0.1, np.nan, 0.1]))
