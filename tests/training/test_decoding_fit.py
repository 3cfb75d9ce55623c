"""Decoders fitted to generated users: how well they decode, what helps them, and what is refused."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
import torch

from lancelet import LanceletError, controllers, training
from lancelet.controllers import Population
from lancelet.controllers.guarded import Guarded
from lancelet.emg_layout import GESTURES, REST, Recording
from lancelet.envs.emg.sessions import record
from lancelet.envs.emg.settings import Settings
from lancelet.training.decoding import accuracy, by_trial, fit, load, recalibrate
from lancelet.training.decoding.augment import turned, turning
from lancelet.training.decoding.fit import observations, training_windows
from lancelet.training.decoding.following import follow
from lancelet.training.decoding.measures import accepted, decode, first_times
from lancelet.training.decoding.recordings import gesture_numbers, take

USER = 300
NAMES = ("emg-lda", "emg-centroid", "emg-cnn")


@pytest.fixture(scope="module")
def session():
    return by_trial(record(USER, trials=6), test_trials=2)


@pytest.fixture(scope="module")
def lda(session):
    return fit("emg-lda", session.train)


@pytest.mark.parametrize(("name", "least"), [("emg-lda", 0.96), ("emg-centroid", 0.85)])
def test_a_decoder_knows_its_user(session, name, least):
    figures = accuracy(fit(name, session.train), session.test)
    assert figures.accuracy > least and figures.balanced_accuracy > least
    assert figures.macro_f1 > least
    assert figures.confusion.sum() == 20 * 36
    assert figures.onset_median <= 200 and figures.false_activations == 0
    assert figures.accepted_accuracy + figures.rejection_rate <= 1


@pytest.mark.slow
def test_the_network_knows_its_user(session):
    decoder = fit("emg-cnn", session.train, seed=1)
    assert accuracy(decoder, session.test).accuracy > 0.95
    again = fit("emg-cnn", session.train, seed=1)
    for name, value in decoder.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["emg-lda", "emg-covariance"])
def test_decoders_of_samples_know_their_user(name):
    session = by_trial(record(USER, trials=3, level="signal"), test_trials=1)
    assert accuracy(fit(name, session.train), session.test).accuracy > 0.9


def test_samples_in_another_unit_are_decoded_alike():
    whole = record(USER, trials=2, level="signal", seconds=0.5)
    volts = dataclasses.replace(whole, signal=whole.signal * np.float32(1e-4))
    usual = decode(fit("emg-lda", whole), whole).posteriors
    scaled = decode(fit("emg-lda", volts), volts).posteriors
    np.testing.assert_allclose(scaled, usual, atol=0.02)


def test_a_fit_is_the_same_each_time_and_leaves_generators_alone(session, lda):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = fit("emg-lda", session.train)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in lda.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_gestures_are_known_by_name(session, lda):
    order = np.random.default_rng(0).permutation(len(session.test.labels))
    figures = accuracy(lda, take(session.test, order))
    assert figures.accuracy == accuracy(lda, session.test).accuracy


def test_a_fitted_decoder_is_saved_and_loaded(lda, session, tmp_path):
    controllers.save(lda, tmp_path / "decoder.safetensors")
    again = controllers.load(tmp_path / "decoder.safetensors")
    want = decode(lda, session.test).posteriors
    assert np.array_equal(decode(again, session.test).posteriors, want)


def test_a_fitted_decoder_acts_alike_in_any_population(lda, session):
    steps = observations(session.test)[:6]

    def answers(ids):
        agents = Population(lda, len(ids))
        state = agents.initial_state()
        result = []
        for step in steps:
            answer, state = agents({name: values[ids] for name, values in step.items()}, state)
            result.append(answer)
        return np.stack(result, axis=1)

    together = answers(list(range(20)))
    for ids in ([3], [3, 4], [17, 3], list(range(3, 19))):
        assert np.array_equal(answers(ids), together[ids])


def test_windows_of_one_trial_in_both_parts_would_raise_the_accuracy():
    # What the splitter forbids: with a single trial of each gesture in training, a leak is worth points.
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    right = 0.0
    leaky = 0.0
    for user in (USER, USER + 1, USER + 2):
        whole = record(user, trials=2)
        decoder = fit("emg-lda", whole)
        made = training_windows(decoder, whole)
        features = decoder.represent(made.window, decoder.look(made.window)).numpy()
        trial = np.tile(np.arange(20), len(features) // 20)

        def score(is_test, features=features, labels=made.labels):
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.05)
            model.fit(features[~is_test], labels[~is_test])
            return model.score(features[is_test], labels[is_test])

        right += score(trial >= 10) / 3
        leaky += score(np.random.default_rng(0).random(len(features)) < 0.5) / 3
    assert leaky > right


# What helps


def test_dead_channels_cost_little(lda):
    trials = {"trials": 2, "seed": 7}
    whole = accuracy(lda, record(USER, **trials)).accuracy
    with_dead = record(USER, settings=Settings(dropped=3), **trials)
    assert accuracy(lda, with_dead).accuracy > whole - 0.03


def test_turned_windows_are_those_of_a_turned_sleeve(session, lda):
    ring = turning(260 / 16)
    values = np.random.default_rng(0).normal(size=16)
    np.testing.assert_allclose(ring @ values, np.roll(values, -1), atol=1e-12)
    np.testing.assert_allclose(turning(10.0).sum(1), 1, atol=1e-12)
    window = training_windows(lda, session.test).window
    back = turned(turned(window, 5.0), -5.0)
    counts = window.weight > 0
    # The finest pattern that 16 electrodes can hold is lost on the way.
    torch.testing.assert_close(
        back.power[counts].log(), window.power[counts].log(), atol=0.2, rtol=0.0
    )
    assert torch.equal(turned(window, 0.0).weight, window.weight)


def test_turned_windows_turn_the_covariance_too():
    from lancelet.controllers.emg.window import Window

    samples = torch.randn(1, 1, 64, 100, generator=torch.Generator().manual_seed(0))
    product = samples @ samples.mT / 100
    window = Window(product.diagonal(dim1=-2, dim2=-1), torch.ones(1, 1, 64), product)
    moved = turned(window, 260 / 16).product[0, 0].numpy()
    order = (np.arange(64) // 16) * 16 + (np.arange(64) + 1) % 16
    np.testing.assert_allclose(moved, product[0, 0].numpy()[np.ix_(order, order)], atol=1e-5)


@pytest.mark.slow
def test_augmentation_and_recalibration_help(session, lda):
    aside = record(USER, trials=2, seed=1, settings=Settings(rotation=0.015))
    augmented = fit("emg-lda", session.train, augment_mm=(-10, 10))
    assert accuracy(augmented, aside).accuracy > accuracy(lda, aside).accuracy
    second = by_trial(record(USER, session=2, trials=4))
    again = recalibrate(lda, session.train, second.train)
    assert accuracy(again, second.test).accuracy >= accuracy(lda, second.test).accuracy
    assert again.options == lda.options and again is not lda


def test_rest_is_followed_at_once(lda):
    delays = follow(lda, USER)
    assert np.nanmedian(delays.rest) <= 100 and np.nanmax(delays.rest) <= 250
    assert np.nanmedian(delays.onset) <= 200
    slow = fit("emg-lda", record(USER, trials=4), fast_rest=False, smoothing=1)
    assert np.nanmedian(follow(slow, USER).rest) > np.nanmedian(delays.rest)


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["features", "emg"])
def test_a_decoder_that_was_fitted_to_log_rms_steers_the_robot_by_either_observation(
    lda, tmp_path, signal
):
    task = {"input": "emg", "users": (USER,), "signal": signal, "smoothing": 1}
    controllers.save(lda, tmp_path / "decoder.safetensors")
    env = gym.make("lancelet/AssistReach-v0", **task)
    decoder = controllers.load(tmp_path / "decoder.safetensors", env)
    assert decoder.reads_signal == (signal == "emg")
    score = training.evaluate(
        Guarded(decoder), "lancelet/AssistReach-v0", episodes=1, max_episode_steps=600, **task
    )
    assert score.metrics["success"].tolist() == [1.0]
    assert score.metrics["steady_accuracy"] > 0.9 and score.metrics["worst_rest_wait"] <= 0.25


# Acceptance and times


def one_hot(*gestures, sure=0.9):
    """Posteriors (strides, 1, 10) of one trial."""
    rows = np.full((len(gestures), 1, 10), (1 - sure) / 9)
    rows[np.arange(len(gestures)), 0, gestures] = sure
    return rows


def test_a_gesture_is_accepted_when_it_is_sure_and_stable():
    def commands(posteriors):
        return accepted(posteriors)[:, 0].tolist()

    assert commands(one_hot(3, 3, 3)) == [REST, 3, 3]
    assert commands(one_hot(3, 4, 4, REST, 4)) == [REST, REST, 4, REST, REST]
    assert commands(one_hot(3, 3, sure=0.59)) == [REST, REST]
    assert commands(np.full((3, 1, 10), 0.1)) == [REST] * 3


def test_times_are_those_of_the_strides_ends():
    commands = np.array([[0, 2], [1, 2], [1, 2]])
    times = first_times(commands, np.array([1, 3]))
    assert times[0] == 100 and np.isnan(times[1])


# What is refused


def test_what_cannot_be_fitted_is_refused(session, lda):
    def refused(match, *arguments, **options):
        with pytest.raises(LanceletError, match=match) as error:
            fit(*arguments, **options)
        assert "\n" not in str(error.value)

    train = session.train
    refused("unknown controller 'emg-lad'; did you mean emg-lda", "emg-lad", train)
    refused(r"no decoder that is fitted|reads an observation", "mlp", train)
    refused(r"unknown option|option of controller", "emg-lda", train, windows=0.25)
    refused("augment_mm = 140", "emg-lda", train, augment_mm=(140,))
    refused("seed = -1", "emg-lda", train, seed=-1)
    few = record(USER, trials=1, gestures=GESTURES[:5])
    refused("lacks pronation", "emg-lda", few)
    refused(r"needs|reads an observation 'emg'", "emg-covariance", train)
    silent = dataclasses.replace(
        record(USER, trials=1, level="signal", seconds=0.3), signal=np.zeros((10, 64, 600))
    )
    refused("0 at rest", "emg-lda", silent)


def test_what_cannot_be_measured_is_refused(session, lda):
    labels = controllers.controllers.get("gesture-labels")
    signal = record(USER, trials=1, level="signal", seconds=0.3)
    with pytest.raises(LanceletError, match="this decoder was fitted to level power"):
        accuracy(lda, signal)
    with pytest.raises(LanceletError, match="must be a decoder"):
        from types import SimpleNamespace

        from gymnasium import spaces

        space = SimpleNamespace(
            observation_space=spaces.Dict({"intent": spaces.Box(0, 1, (10,))}),
            action_space=spaces.Box(0, 1, (10,)),
        )
        accuracy(controllers.make("gesture-labels", space), session.test)
    assert labels is not None


def test_a_recording_from_a_file_is_fitted_to(session, tmp_path):
    import h5py

    whole = record(USER, trials=2, level="signal", seconds=0.5)
    numbers = gesture_numbers(whole)
    with h5py.File(tmp_path / "user.h5", "w") as file:
        for number, gesture in enumerate(GESTURES):
            file[gesture] = whole.signal[numbers == number]
        file.attrs["rate"] = whole.rate
    read = load(tmp_path / "user.h5")
    assert isinstance(read, Recording)
    decoder = fit("emg-lda", read)
    assert accuracy(decoder, whole).accuracy > 0.9
