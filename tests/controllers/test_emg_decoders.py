"""Decoders stride by stride: filter, windows, rest, dead channels, features; what is refused."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import GESTURES as HOMES_OF
from gymnasium import spaces
from scipy import linalg, signal
from test_same_bits import mismatches

from lancelet import LanceletError, controllers
from lancelet.controllers import Population
from lancelet.controllers.emg.bandpass import band_pass, block_matrix, filter_block
from lancelet.controllers.emg.channels import RIDGE, Channels
from lancelet.controllers.emg.covariance import LOADING
from lancelet.controllers.emg.window import log_rms, pattern_and_level, power_of_log_rms
from lancelet.emg_layout import GESTURES, REST

DECODERS = ("emg-lda", "emg-cnn", "emg-centroid")
REST_POWER = 0.0064
ACTIVE_POWER = 0.06


def home(key):
    return gym.make(HOMES_OF[key][0])


def make(name="emg-lda", key="features", **options):
    return controllers.make(name, home(key), **options)


def fitted(name="emg-lda", key="features", **options):
    """A decoder whose level of rest is set, and whose channels have a usual covariance."""
    decoder = make(name, key, **options)
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(64, 6, generator=random)
    decoder.rest_power.fill_(REST_POWER)
    decoder.rest_level.fill_(float(np.log(0.1 * ACTIVE_POWER)))
    decoder.channels.mean.fill_(-1.4)
    decoder.channels.covariance.copy_(0.1 * mixing @ mixing.T / 6 + 0.01 * torch.eye(64))
    decoder.channels.floor.fill_(float(np.log(REST_POWER) / 2))
    decoder.channels.ceiling.fill_(0.0)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=random))
    return decoder


def features_of(power):
    """The observation of strides with these mean squares (batch, 64)."""
    return {"features": pattern_and_level(log_rms(torch.as_tensor(power, dtype=torch.float32)))}


def constant(power, batch=1):
    return features_of(np.full((batch, 64), power))


def acts(decoder, observations):
    """Answers (steps, batch, 10), and the state at the end."""
    state = decoder.initial_state(1)
    answers = []
    with torch.no_grad():
        for observation in observations:
            answer, state = decoder(observation, state)
            answers.append(answer)
    return torch.stack(answers), state


# The filter


@pytest.mark.parametrize("notch", [None, 50])
def test_the_filter_by_blocks_equals_the_one_by_samples(notch):
    sections = band_pass(low=20, high=450, order=4, rate=2000, notch=notch)
    matrix = torch.as_tensor(block_matrix(sections, 100))
    samples = np.random.default_rng(0).normal(size=(2, 64, 1000))
    want = signal.sosfilt(sections, samples, axis=-1)
    state = torch.zeros(2, 64, 2 * len(sections), dtype=torch.float64)
    parts = []
    for block in torch.as_tensor(samples).split(100, dim=-1):
        filtered, state = filter_block(matrix, block, state)
        parts.append(filtered)
    assert np.abs(torch.cat(parts, dim=-1).numpy() - want).max() < 1.5e-13


@pytest.mark.parametrize(("low", "high"), [(450, 20), (0, 450), (20, 1000)])
def test_a_band_that_is_none_is_refused(low, high):
    with pytest.raises(LanceletError, match=r"low|high|band"):
        make(low=float(low), high=float(high))
    with pytest.raises(LanceletError, match="must rise"):
        band_pass(low=low, high=high, order=4, rate=2000)


def test_a_nan_is_cleaned_before_the_filter():
    decoder = fitted(key="emg")
    samples = torch.randn(40, 1, 64, 100, generator=torch.Generator().manual_seed(0))
    broken = samples.clone()
    broken[3, 0, 5, 40] = torch.nan
    broken[4, 0, 7] = torch.inf
    want, clean_state = acts(decoder, [{"emg": stride} for stride in samples])
    answers, state = acts(decoder, [{"emg": stride} for stride in broken])
    assert torch.isfinite(answers).all() and torch.isfinite(state.filter).all()
    torch.testing.assert_close(answers[-5:], want[-5:], atol=1e-4, rtol=0)
    torch.testing.assert_close(state.filter, clean_state.filter, atol=1e-6, rtol=0)


@pytest.mark.parametrize("key", ["features", "emg"])
def test_a_stride_without_a_number_is_rest(key):
    decoder = fitted(key=key)
    shape = HOMES_OF[key][1]
    usual = {key: torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))}
    answers, _ = acts(decoder, [usual] * 6 + [{key: torch.full((1, *shape), torch.nan)}])
    assert answers[-1, 0].tolist() == [1.0] + [0.0] * 9


def test_numbers_beyond_all_sense_give_numbers():
    decoder = fitted(key="emg")
    answers, _ = acts(decoder, [{"emg": torch.full((1, 64, 100), 1e30)}] * 3)
    assert torch.isfinite(answers).all()


# Windows, rest, posteriors


def test_log_rms_and_power_are_inverse():
    power = torch.logspace(-4, 2, 50, dtype=torch.float64)
    torch.testing.assert_close(power_of_log_rms(log_rms(power)), power)


def test_a_window_is_the_mean_over_its_strides():
    decoder = make(window=0.15)
    powers = np.random.default_rng(0).uniform(0.02, 0.2, size=(6, 1, 64))
    _, state = acts(decoder, [features_of(power) for power in powers])
    want = decoder.score(pattern_and_level(log_rms(torch.as_tensor(powers[-3:].mean(0)).float())))
    torch.testing.assert_close(state.posterior, torch.softmax(want, -1), atol=1e-5, rtol=0)


def test_answers_are_posteriors_and_means_of_the_last_three():
    decoder = fitted()
    powers = np.random.default_rng(0).uniform(0.04, 0.08, size=(8, 1, 64))
    answers, _ = acts(decoder, [features_of(power) for power in powers])
    single, _ = acts(fitted(smoothing=1), [features_of(power) for power in powers])
    torch.testing.assert_close(answers.sum(-1), torch.ones(8, 1))
    torch.testing.assert_close(answers[-1], single[-3:].mean(0), atol=1e-6, rtol=0)


def test_rest_is_told_in_the_stride_that_has_its_level():
    decoder = fitted()
    observations = [constant(ACTIVE_POWER)] * 8 + [constant(REST_POWER)]
    answers, state = acts(decoder, observations)
    assert answers[-1, 0, REST] == 1 and state.is_resting == 1
    slow, _ = acts(fitted(fast_rest=False), observations)
    torch.testing.assert_close(slow[-1].sum(-1), torch.ones(1))
    assert not torch.equal(slow[-1], answers[-1])


def test_a_fall_of_the_level_is_rest_for_one_stride():
    decoder = fitted()
    high = ACTIVE_POWER + REST_POWER
    fallen = 0.25 * ACTIVE_POWER + REST_POWER
    held = 0.6 * ACTIVE_POWER + REST_POWER
    answers, _ = acts(decoder, [constant(high)] * 8 + [constant(fallen), constant(high)])
    assert answers[8, 0, REST] == 1 and answers[9, 0, REST] < 1
    answers, _ = acts(decoder, [constant(high)] * 8 + [constant(held)] * 3)
    assert (answers[:, 0, REST] < 1).all()


def test_after_rest_a_window_holds_the_new_contraction_alone():
    decoder = fitted(smoothing=1)
    one = np.random.default_rng(0).uniform(0.04, 0.08, size=(1, 64))
    other = np.random.default_rng(1).uniform(0.04, 0.08, size=(1, 64))
    after_rest = [features_of(one)] * 6 + [constant(REST_POWER)] + [features_of(other)]
    answers, _ = acts(decoder, after_rest)
    alone, _ = acts(decoder, [features_of(other)])
    torch.testing.assert_close(answers[-1], alone[-1], atol=1e-6, rtol=0)


# Dead channels


def test_channels_are_predicted_by_ridge_regression():
    random = np.random.default_rng(0)
    mixing = random.normal(size=(64, 5))
    values = random.normal(size=(500, 5)) @ mixing.T + 0.05 * random.normal(size=(500, 64))
    channels = Channels()
    channels.fit(torch.as_tensor(values), torch.arange(500) < 50)
    dead = [3, 20, 63]
    good = np.ones(64)
    good[dead] = 0
    is_good = torch.as_tensor(good).float().expand(4, 64)
    seen = channels.repaired(torch.as_tensor(values[:4]).float(), is_good)
    covariance = np.cov(values.T)
    kept = good > 0
    ridge = RIDGE * np.trace(covariance) / 64
    inner = covariance[np.ix_(kept, kept)] + ridge * np.eye(kept.sum())
    deviation = (values[:4] - values.mean(0))[:, kept]
    want = values.mean(0)[dead] + deviation @ np.linalg.solve(inner, covariance[kept][:, dead])
    np.testing.assert_allclose(seen.log_rms[:, dead], want, atol=1e-3)
    np.testing.assert_allclose(seen.log_rms[:, kept], values[:4, kept], atol=1e-6)
    assert np.abs(seen.log_rms[:, dead] - values[:4, dead]).max() < 0.5
    assert seen.repaired.tolist() == [3.0] * 4


def test_a_channel_at_the_noise_floor_is_predicted_and_one_that_is_lesioned_too():
    decoder = fitted()
    power = np.full((1, 64), ACTIVE_POWER)
    _, state = acts(decoder, [features_of(power)])
    assert state.repaired == 0
    power[0, [2, 9]] = REST_POWER
    _, state = acts(decoder, [features_of(power)])
    assert state.repaired == 2
    _, state = acts(controllers.lesion(decoder, "channel:1", "channel:3"), [features_of(power)])
    assert state.repaired == 3
    _, state = acts(fitted(repair=False), [features_of(power)])
    assert state.repaired == 0


def test_at_rest_nothing_is_predicted():
    _, state = acts(fitted(), [constant(REST_POWER)])
    assert state.repaired == 0


# Features


def test_the_covariance_is_seen_through_its_matrix_logarithm():
    decoder = make("emg-covariance", "emg", window=0.05, repair=False)
    samples = torch.randn(1, 64, 100, generator=torch.Generator().manual_seed(0))
    stride, _ = decoder.intake({"emg": samples}, decoder.initial_state(1).filter)
    window = decoder.next_window(stride, decoder.initial_state(1).window).window
    features = decoder.represent(window, decoder.look(window))[0].numpy()
    covariance = stride.product[0].double().numpy()
    loaded = covariance + LOADING * np.trace(covariance) / 64 * np.eye(64)
    want = linalg.logm(loaded)
    row, column = np.triu_indices(64)
    unit = np.where(row == column, 1, np.sqrt(2))
    np.testing.assert_allclose(features, want[row, column] * unit, atol=2e-4)
    assert np.linalg.norm(features) == pytest.approx(np.linalg.norm(want), rel=1e-4)


def test_dead_channels_of_a_covariance_are_filled_in():
    decoder = make("emg-covariance", "emg")
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(64, 4, generator=random)
    covariance = mixing @ mixing.T + 0.01 * torch.eye(64)
    decoder.usual.copy_(covariance)
    good = torch.ones(1, 64)
    good[0, [5, 6]] = 0
    filled = decoder._filled(covariance[None], good)[0]
    torch.testing.assert_close(filled, covariance, atol=0.1, rtol=0.1)


def test_the_networks_convolution_is_that_of_torch_circular_around_the_arm():
    decoder = make("emg-cnn")
    maps = torch.randn(2, 64, 6, generator=torch.Generator().manual_seed(0))
    got = decoder._convolved(decoder.first, maps)
    weight = decoder.first.weight.reshape(32, 9, 6).permute(0, 2, 1).reshape(32, 6, 3, 3)
    images = maps.mT.reshape(2, 6, 4, 16)
    around = torch.nn.functional.pad(images, (1, 1, 0, 0), mode="circular")
    padded = torch.nn.functional.pad(around, (0, 0, 1, 1))
    want = torch.nn.functional.conv2d(padded, weight, decoder.first.bias)
    torch.testing.assert_close(got, want.flatten(2).mT, atol=1e-5, rtol=1e-5)
    assert decoder.parameter_count == 21_258


# The contract


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key"),
    [("emg-lda", "emg"), *[(name, "features") for name in DECODERS], ("emg-covariance", "emg")],
)
def test_same_bits_in_any_population_once_fitted(name, key):
    assert mismatches(fitted(name, key)) == 0


@pytest.mark.parametrize(
    ("name", "key"), [*[(name, "features") for name in DECODERS], ("emg-covariance", "emg")]
)
def test_a_decoder_is_saved_and_loaded(name, key, tmp_path):
    decoder = fitted(name, key)
    controllers.save(decoder, tmp_path / "decoder.safetensors")
    again = controllers.load(tmp_path / "decoder.safetensors")
    observation = {
        key: torch.rand(3, *HOMES_OF[key][1], generator=torch.Generator().manual_seed(1))
    }
    with torch.no_grad():
        want, _ = decoder(observation, decoder.initial_state(3))
        answer, _ = again(observation, again.initial_state(3))
    assert torch.equal(answer, want)
    assert again.rest_level == decoder.rest_level


def test_a_decoder_that_was_fitted_to_log_rms_reads_a_task_that_shows_more():
    decoder = fitted()
    env = home("features")
    rebuilt = type(decoder)(env.observation_space, env.action_space, decoder.options)
    assert rebuilt.reads_signal is False


def test_unfitted_a_decoder_tells_nothing():
    answers, _ = acts(make(), [constant(ACTIVE_POWER)])
    torch.testing.assert_close(answers[0, 0], torch.full((10,), 0.1))


# What is refused


@pytest.mark.parametrize("window", [0.0, 0.12, 1.05, -0.25])
def test_a_window_of_no_whole_strides_is_refused(window):
    with pytest.raises(LanceletError, match=r"window = .*must be"):
        make(window=window)


@pytest.mark.parametrize("smoothing", [0, 21, 2.5])
def test_a_smoothing_that_is_none_is_refused(smoothing):
    with pytest.raises(LanceletError, match=r"smoothing = .*must be"):
        make(smoothing=smoothing)


def test_a_decoder_fitted_on_other_gestures_is_refused():
    other = (*GESTURES[1:], GESTURES[0])
    with pytest.raises(LanceletError, match="was fitted on others"):
        make(gestures=other)
    with pytest.raises(LanceletError, match="was fitted on others"):
        make(gestures=GESTURES[:4])


@pytest.mark.parametrize("name", [*DECODERS, "emg-covariance", "gesture-labels"])
def test_other_spaces_are_refused_in_one_line(name):
    swim = gym.make("lancelet/Swim-v0")
    with pytest.raises(LanceletError, match="reads an observation") as error:
        controllers.make(name, swim)
    assert "\n" not in str(error.value)


def test_covariance_needs_samples():
    with pytest.raises(LanceletError, match=r"'emg' \(64, 100\)"):
        make("emg-covariance", "features")


def test_another_action_is_refused():
    env = home("features").unwrapped
    env.action_space = spaces.Box(-1, 1, (8,))
    with pytest.raises(LanceletError, match="posteriors of 10 gestures"):
        controllers.make("emg-lda", env)


def test_labels_are_passed_on():
    labels = controllers.make("gesture-labels", home("intent"))
    intent = torch.eye(10)
    answer, state = labels({"intent": intent, "robot": torch.zeros(10, 24)}, ())
    assert torch.equal(answer, intent) and state == () and labels.memoryless


def test_several_users_decoders_act_side_by_side_each_as_alone():
    decoders = [fitted(), fitted(smoothing=3)]
    with torch.no_grad():
        for weight in decoders[1].parameters():
            weight.neg_()
    decoders[1].rest_power.mul_(1.5)
    decoders[1].channels.mean.add_(0.1)
    agents = Population.of_several(decoders, 2)
    powers = np.random.default_rng(0).uniform(0.02, 0.08, size=(6, 2, 64))
    state = agents.initial_state()
    for stride, power in enumerate(powers):
        answers, state = agents(features_of(power), state)
        for user, decoder in enumerate(decoders):
            alone = Population(decoder, 1)
            own = alone.initial_state()
            for earlier in powers[: stride + 1]:
                answer, own = alone(features_of(earlier[user : user + 1]), own)
            assert np.array_equal(answers[user], answer[0])
