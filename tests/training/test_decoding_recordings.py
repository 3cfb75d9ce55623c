"""Recordings: checks, files of every kind, splits that no window crosses."""

import dataclasses
import os

import h5py
import numpy as np
import pytest
from scipy import io

from lancelet import LanceletError
from lancelet.emg_layout import GESTURES, Recording
from lancelet.training.decoding import by_session, by_trial, load
from lancelet.training.decoding.readers import PUBLIC_NAMES, RECORDING_BYTES, resampled
from lancelet.training.decoding.recordings import (
    check_all_gestures,
    check_for_decoder,
    check_recording,
    gesture_numbers,
    joined,
    strides_of,
)

RATE = 2000.0


def recording(trials=3, gestures=GESTURES, level="signal", samples=400, sessions=1, seed=0):
    """Noise as a recording, every gesture in turn."""
    labels = tuple(gestures) * trials
    times = samples if level == "signal" else samples // 100
    values = np.random.default_rng(seed).normal(size=(len(labels), 64, times))
    number = np.arange(len(labels)) // len(gestures) % sessions + 1
    return Recording(
        signal=(values if level == "signal" else values**2).astype(np.float32),
        labels=labels,
        sessions=number,
        rate=RATE if level == "signal" else 20.0,
        level=level,
    )


# Checks


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": np.zeros((30, 63, 400))}, "layout = 4 x 16: the signal has 63 channels"),
        ({"signal": np.zeros((30, 64))}, "must be .trials, channels, time."),
        ({"labels": ("rest",) * 29}, "29 labels"),
        ({"labels": ("rst",) * 30}, "unknown gesture 'rst'; did you mean rest"),
        ({"sessions": np.ones(4)}, "4 sessions"),
        ({"rate": 0.0}, "rate = 0.0"),
        ({"level": "volume"}, "unknown level"),
    ],
)
def test_a_recording_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(LanceletError, match=message) as error:
        check_recording(dataclasses.replace(recording(), **change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value):
    broken = recording()
    broken.signal[2, 5, 7] = value
    with pytest.raises(LanceletError, match="in trial 2, channel 5"):
        check_recording(broken)


def test_a_negative_power_is_refused():
    broken = recording(level="power")
    broken.signal[0, 0, 0] = -1
    with pytest.raises(LanceletError, match="power 0 or more"):
        check_recording(broken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 4000.0}, "rate = 4000 Hz: decoders need 2000 Hz"),
        ({"signal": np.zeros((30, 32, 400)), "layout": (4, 8)}, "32 channels: decoders need 64"),
        ({"signal": np.zeros((30, 64, 99))}, "trials of 99 samples"),
    ],
)
def test_what_decoders_cannot_be_fitted_to_is_refused(change, message):
    with pytest.raises(LanceletError, match=message):
        check_for_decoder(dataclasses.replace(recording(), **change))


def test_missing_gestures_are_named():
    with pytest.raises(LanceletError, match="lacks fist, tripod"):
        check_all_gestures(recording(gestures=[g for g in GESTURES if g not in ("fist", "tripod")]))


def test_labels_are_names_and_not_places():
    backwards = recording(trials=1, gestures=GESTURES[::-1])
    assert gesture_numbers(backwards).tolist() == list(range(9, -1, -1))


def test_recordings_are_joined_if_they_are_alike():
    together = joined([recording(trials=1), recording(trials=2, samples=300)])
    assert together.signal.shape == (30, 64, 300) and len(together.labels) == 30
    with pytest.raises(LanceletError, match=r"rate = 1000.0 of one recording and 2000.0"):
        joined([recording(), dataclasses.replace(recording(), rate=1000.0)])
    with pytest.raises(LanceletError, match="no recording"):
        joined([])


def test_strides_are_cut_in_time_order():
    signal = recording(trials=1, samples=250)
    strides = strides_of(signal)
    assert strides.shape == (2, 10, 64, 100)
    assert np.array_equal(strides[1, 3], signal.signal[3, :, 100:200])
    power = recording(trials=1, level="power")
    assert np.array_equal(strides_of(power)[2, 3], power.signal[3, :, 2])


# Splits


def test_a_split_divides_trials_and_no_trial():
    whole = recording(trials=10)
    # A mark in every trial's first number tells which it is.
    whole.signal[:, 0, 0] = np.arange(len(whole.labels))
    train, test = by_trial(whole)
    assert len(train.labels) == 80 and len(test.labels) == 20
    ids = [set(part.signal[:, 0, 0].tolist()) for part in (train, test)]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == 100
    assert all(test.labels.count(gesture) == 2 for gesture in GESTURES)


def test_one_trial_cannot_be_split():
    with pytest.raises(LanceletError, match="never divided between training and test"):
        by_trial(recording(trials=1), test_trials=1)
    with pytest.raises(LanceletError, match=r"2 trial.s. in session 1"):
        by_trial(recording(trials=2))
    with pytest.raises(LanceletError, match="test_trials = 0"):
        by_trial(recording(), test_trials=0)


def test_a_split_by_session():
    train, test = by_session(recording(trials=4, sessions=2), 2)
    assert set(train.sessions) == {1} and set(test.sessions) == {2}
    for session in (1, 3):
        with pytest.raises(LanceletError, match=f"test_session = {session}"):
            by_session(recording(trials=4), session)


# Files


def by_gesture(whole):
    return {
        gesture: whole.signal[[k for k, label in enumerate(whole.labels) if label == gesture]]
        for gesture in GESTURES
    }


def sorted_trials(whole):
    """Trials by gesture, in the order in which each gesture has them."""
    return np.concatenate(list(by_gesture(whole).values()))


def write_hdf5(path, whole, names=None, **attributes):
    with h5py.File(path, "w") as file:
        for gesture, trials in by_gesture(whole).items():
            file.create_dataset((names or {}).get(gesture, gesture), data=trials)
        file.attrs.update({"rate": whole.rate, **attributes})


def write_csv(path, whole):
    lines = [f"# rate: {whole.rate}", "gesture,trial," + ",".join(map(str, range(1, 65)))]
    for trial, label in enumerate(whole.labels):
        for sample in whole.signal[trial].T:
            lines.append(f"{label},{trial}," + ",".join(map(repr, sample.tolist())))
    path.write_text("\n".join(lines))


def write_dat(folder, whole, gain=1000.0):
    for trial, label in enumerate(whole.labels):
        numbers = np.round(whole.signal[trial].T * gain).astype("<i2")
        (folder / f"{trial:02}.dat").write_bytes(numbers.tobytes())
        lines = [f"{trial:02} 64 {whole.rate:g} {len(numbers)}"]
        lines += [f"{trial:02}.dat 16 {gain:g}(0)/mV"] * 64
        (folder / f"{trial:02}.hea").write_text("\n".join([*lines, f"# gesture: {label}"]))


def test_hdf5(tmp_path):
    whole = recording()
    write_hdf5(tmp_path / "a.h5", whole, session=2, layout=[4, 16])
    again = load(tmp_path / "a.h5")
    np.testing.assert_array_equal(sorted_trials(again), sorted_trials(whole))
    assert again.rate == 2000 and again.layout == (4, 16) and set(again.sessions) == {2}


def test_public_names_are_known_by_name(tmp_path):
    public = {ours: theirs for theirs, ours in PUBLIC_NAMES.items()}
    assert set(public) == set(GESTURES)
    write_hdf5(tmp_path / "a.hdf5", recording(), names=public)
    assert set(load(tmp_path / "a.hdf5").labels) == set(GESTURES)


def test_mat(tmp_path):
    whole = recording()
    io.savemat(tmp_path / "a.mat", {**by_gesture(whole), "rate": 2000.0, "session": 3})
    again = load(tmp_path / "a.mat")
    np.testing.assert_array_equal(sorted_trials(again), sorted_trials(whole))
    assert set(again.sessions) == {3}


def test_int16(tmp_path):
    whole = recording(trials=2)
    write_dat(tmp_path, whole)
    again = load(tmp_path)
    np.testing.assert_allclose(again.signal, whole.signal, atol=6e-4)
    assert again.labels == whole.labels
    assert load(tmp_path / "03.dat").labels == (whole.labels[3],)


def test_csv(tmp_path):
    whole = recording(trials=1, samples=100)
    write_csv(tmp_path / "a.csv", whole)
    again = load(tmp_path / "a.csv")
    np.testing.assert_array_equal(again.signal, whole.signal)
    assert again.labels == whole.labels


def test_another_rate_is_resampled(tmp_path):
    time = np.arange(800) / 4000
    whole = recording(samples=800)
    whole.signal[:] = np.sin(2 * np.pi * 100 * time)
    write_hdf5(tmp_path / "a.h5", dataclasses.replace(whole, rate=4000.0))
    again = load(tmp_path / "a.h5")
    want = np.sin(2 * np.pi * 100 * np.arange(400) / 2000)
    assert again.rate == 2000 and again.signal.shape == (30, 64, 400)
    np.testing.assert_allclose(again.signal[0, 0, 50:-50], want[50:-50], atol=2e-3)
    assert resampled(again) is again


def test_what_the_caller_says_counts_more_than_the_file(tmp_path):
    write_hdf5(tmp_path / "a.h5", recording(), session=2)
    again = load(tmp_path / "a.h5", session=5, rate=1000.0, layout=(8, 8))
    assert set(again.sessions) == {5} and again.layout == (8, 8)
    assert again.signal.shape[2] == 800


# Files that are wrong


def refused(path, match, **given):
    with pytest.raises(LanceletError, match=match) as error:
        load(path, **given)
    assert "\n" not in str(error.value)


def test_an_unknown_kind_and_a_missing_file(tmp_path):
    (tmp_path / "a.txt").write_text("")
    refused(tmp_path / "a.txt", "unknown kind of recording '.txt'")
    refused(tmp_path, "holds no recording")
    refused(tmp_path / "b.h5", "does not exist")
    os.mkfifo(tmp_path / "c.csv")
    refused(tmp_path / "c.csv", "pipe or a device")


@pytest.mark.parametrize("suffix", ["h5", "mat"])
def test_files_that_are_cut_short_or_something_else(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"no such thing" * 100)
    refused(path, "cut short")
    if suffix == "h5":
        write_hdf5(path, recording())
    else:
        io.savemat(path, by_gesture(recording()))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "cut short", rate=2000.0)


def test_hdf5_that_leads_elsewhere(tmp_path):
    write_hdf5(tmp_path / "secret.h5", recording())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["rest"] = h5py.ExternalLink("secret.h5", "rest")
    refused(tmp_path / "a.h5", "'rest' is a link")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("rest", (1, 64, 10), "f4", external=[("/etc/passwd", 0, 2560)])
    refused(tmp_path / "b.h5", "lies in another file")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        layout = h5py.VirtualLayout((3, 64, 400), "f4")
        layout[:] = h5py.VirtualSource("secret.h5", "rest", (3, 64, 400))
        file.create_virtual_dataset("rest", layout)
    refused(tmp_path / "c.h5", "lies in another file")


def test_hdf5_that_says_more_than_it_should(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("rest", (1, 64, RECORDING_BYTES), "f4", chunks=(1, 64, 100))
    refused(path, "GiB")
    with h5py.File(path, "w") as file:
        file.create_dataset("rest", data=np.zeros((64, 100)))
    refused(path, "must be numbers")
    with h5py.File(path, "w") as file:
        file.create_dataset("rest", data=[[["a"]]], dtype=h5py.string_dtype())
    refused(path, "must be numbers")
    with h5py.File(path, "w") as file:
        file.create_dataset("resst", data=np.zeros((1, 64, 100)))
    refused(path, "unknown gesture 'resst'; did you mean rest")
    with h5py.File(path, "w") as file:
        file.create_group("rest")
    refused(path, "is a group")
    with h5py.File(path, "w"):
        pass
    refused(path, "holds no trial")


def test_attributes_that_are_wrong(tmp_path):
    path = tmp_path / "a.h5"
    write_hdf5(path, recording(), layout=[8, 9])
    refused(path, "layout = 8 x 9: the signal has 64 channels")
    write_hdf5(path, recording(), layout="wide")
    refused(path, "layout = 'wide': must be a number")
    write_hdf5(path, dataclasses.replace(recording(), rate=-5.0))
    refused(path, r"rate of .*must be a finite number")
    write_hdf5(path, recording(), session=0)
    refused(path, "session = 0")
    with h5py.File(path, "w") as file:
        file.create_dataset("rest", data=np.zeros((1, 64, 100)))
    refused(path, "does not say its rate: give rate=")


def test_mat_with_something_else(tmp_path):
    path = tmp_path / "a.mat"
    io.savemat(path, {"rest": "text", "rate": 2000.0})
    refused(path, "of class char: must be numbers")
    io.savemat(path, {"data": np.zeros((1, 64, 100)), "rate": 2000.0})
    refused(path, "unknown gesture 'data'")
    io.savemat(path, {"rest": np.zeros((64, 100)), "rate": 2000.0})
    refused(path, "must be numbers")


def test_int16_with_something_else(tmp_path):
    write_dat(tmp_path, recording(trials=1, gestures=["rest"]))
    path = tmp_path / "00.dat"
    header = (tmp_path / "00.hea").read_text()
    path.write_bytes(path.read_bytes()[:-1])
    refused(path, "must be a multiple of 128")
    (tmp_path / "00.hea").write_text(header.replace(" 16 ", " 212 "))
    refused(path, "format 212: only 16")
    (tmp_path / "00.hea").write_text(header.replace(" 64 ", " 65 ", 1))
    refused(path, "for 65 signals")
    (tmp_path / "00.hea").write_text("")
    refused(path, "no header")
    (tmp_path / "00.hea").unlink()
    refused(path, "00.hea does not exist")


def test_a_label_that_the_file_does_not_say_is_given(tmp_path):
    write_dat(tmp_path, recording(trials=1, gestures=["fist"]))
    header = (tmp_path / "00.hea").read_text().replace("# gesture: fist", "")
    (tmp_path / "00.hea").write_text(header)
    refused(tmp_path, "unknown gesture ''")
    assert load(tmp_path, gesture="fist").labels == ("fist",)


def test_csv_with_something_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("gesture,trial,1,2\nrest,1,0.5,0.5\nrest,1,0.5\n")
    refused(path, "must be 2 numbers a line", rate=2000.0, layout=(1, 2))
    path.write_text("gesture,trial,1,2\nrest,1,0.5,x\n")
    refused(path, "must be 2 numbers a line", rate=2000.0, layout=(1, 2))
    path.write_text("a,b,c\n")
    refused(path, "the first line must be")
    path.write_text("# rate: fast\ngesture,trial,1\n")
    refused(path, "rate = 'fast'")
    path.write_text("gesture,trial,1\nrest\n")
    refused(path, "line 2")
    path.write_text("gesture,trial,1\nrest,1,nan\n")
    refused(path, "must be finite", rate=2000.0, layout=(1, 1))
