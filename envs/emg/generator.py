"""The generator's equations, compiled: contraction, volume conduction, carriers, and what disturbs them.

One call makes one stride of 50 ms of some simulations. Formulas and numbers are those of docs/systems/hdemg.md, "Signals"
and "Disturbances". Everything random comes from a key of the simulation and a counter, so that what a simulation gives
depends neither on the others nor on where it stands among them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ...emg_layout import CHANNEL_COUNT, COLUMNS, RAIL, REST, STRIDE_RATE
from .draws import fill_normals, uniform
from .forearm import (
    ANGLE,
    DEPTH,
    HEIGHT,
    MUSCLE_COUNT,
    RADIUS,
    TERRITORIES_PER_MUSCLE,
    TERRITORY_COUNT,
)
from .state import (
    BURST_AGE,
    BURST_COLUMN,
    BURST_FREQUENCY,
    BURST_PHASE,
    BURST_SECONDS,
    FIRST_LOW_PASS,
    HIGH_PASS,
    ROTATION,
    SECOND_LOW_PASS,
    SLIDE,
    WHITE,
)
from .units import FATIGUE_SLOWING, MOST_DISCHARGES, UNIT_COUNT, discharge

# Numba's cache looks only at the file of the function that is called, which is `make`: after a change in `draws`, `units`
# or a constant of another file, delete __pycache__. Functions that call many others are inlined by name: compiling takes
# three quarters of the time, since LLVM goes over what they call once less.

STRIDE_SECONDS = 1 / STRIDE_RATE
"""s"""

# -- contraction
ONSET = 0.2
"""s in which a muscle's activation rises"""
OFFSET = 0.15
"""s in which a muscle's activation falls"""
LARGEST_WALK = 0.6
"""bound of the log strength's random walk: a contraction held for minutes stays one"""
TIRING = 20 * 60.0
"""s, time constant with which full effort tires"""
RECOVERY = 10 * 60.0
"""s, time constant with which rest recovers"""
FATIGUE_AMPLITUDE = 0.3
"""by which full fatigue raises the amplitude"""
SETTLING_TIME = 15 * 60.0
"""s in which the electrodes settle"""

# -- volume conduction
NEAR_DISTANCE = 0.01
"""m, distance at which a territory's weight is 1"""
FIBRE_HALF_LENGTH = 0.03
"""m along the arm over which a territory is equally near"""
SKIN = 0.01
"""m of fat and skin between the muscle's surface and the electrode"""

# -- carrier: S(f) ~ fh^4 f^2 / ((f^2 + fl^2) (f^2 + fh^2)^2)
LOW_CORNER = 60.0
"""Hz, fl"""
HIGH_CORNER = 120.0
"""Hz, fh"""
RESPONSE_SECONDS = 0.1
"""s after which the carrier's filter has forgotten an impulse (to 1e-12)"""

# -- a channel's own noise
NOISE_VALUES = 48.0
"""independent values of the noise in 50 ms, within the decoder's band: by the formula of `spectrum.independent_samples`"""

# -- artefacts of motion
BURST_SHORTEST = 0.2
"""s"""
BURST_LONGEST = 1.0
"""s"""
BURST_SLOWEST = 1.0
"""Hz"""
BURST_FASTEST = 15.0
"""Hz"""
BURST_HEIGHT = 1.0
"""amplitude in the middle of a burst, four times that of an active channel"""
BURST_WIDTH = 1.5
"""columns, standard deviation of the patch that moves"""

# -- counters of the generator of random bits. A stride owns 2**15 of them; contractions have theirs behind all strides.
STRIDE_BITS = np.uint64(15)
WALK_OFFSET = np.uint64(0)
BURST_OFFSET = np.uint64(8)
CARRIER_OFFSET = np.uint64(16)
NOISE_OFFSET = np.uint64(16384)
CONTRACTION_DOMAIN = np.uint64(1 << 63)
CONTRACTION_BITS = np.uint64(10)

# Normal draws of a contraction, by their place.
STRENGTH_DRAW = 0
MUSCLE_DRAWS = 1
BASELINE_DRAWS = MUSCLE_DRAWS + MUSCLE_COUNT
JITTER_DRAWS = BASELINE_DRAWS + MUSCLE_COUNT
CONTRACTION_DRAWS = 4 * math.ceil((JITTER_DRAWS + 2) / 4)
"""in all; they come in fours"""

MONTAGES = ("monopolar", "average", "longitudinal")
AVERAGE = MONTAGES.index("average")
LONGITUDINAL = MONTAGES.index("longitudinal")


# -- contraction ---------------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _goal(rows, plan, i, muscle):
    """Activation that a muscle goes to, before fatigue."""
    template = plan.templates[rows.gesture[i], muscle] * rows.effort[i]
    return template * rows.strength[i, muscle] + rows.rest[i, muscle]


@njit(cache=True, nogil=True, error_model="numpy")
def _on_the_ramp(origin, goal, seconds):
    """Activation some time after a contraction began: a straight ramp from where it was."""
    ramp = ONSET if goal > origin else OFFSET
    return origin + (goal - origin) * min(seconds / ramp, 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _begin_contraction(rows, plan, quantiles, i, gesture, effort, is_first):
    """Draw a new contraction of simulation `i`; activations start from where they are, the first one at its goal."""
    for muscle in range(MUSCLE_COUNT):
        present = 0.0
        if not is_first:
            goal = _goal(rows, plan, i, muscle)
            present = _on_the_ramp(rows.origin[i, muscle], goal, rows.seconds[i])
        rows.origin[i, muscle] = present * math.exp(rows.walk[i, muscle])
        rows.walk[i, muscle] = 0.0
    rows.gesture[i] = gesture
    rows.effort[i] = effort
    rows.seconds[i] = 0.0
    rows.is_cued[i] = False
    rows.contraction[i] += 1
    draws = np.empty(CONTRACTION_DRAWS, np.float32)
    number = np.uint64(rows.contraction[i])
    fill_normals(rows.key[i], CONTRACTION_DOMAIN + (number << CONTRACTION_BITS), quantiles, draws)
    overall = plan.effort_spread * draws[STRENGTH_DRAW]
    for muscle in range(MUSCLE_COUNT):
        log_strength = overall + plan.muscle_spread * draws[MUSCLE_DRAWS + muscle]
        rows.strength[i, muscle] = math.exp(log_strength) * plan.limb[muscle]
        rows.rest[i, muscle] = abs(plan.baseline * draws[BASELINE_DRAWS + muscle])
    rows.jitter[i, ROTATION] = plan.jitter * draws[JITTER_DRAWS + ROTATION]
    rows.jitter[i, SLIDE] = plan.jitter * draws[JITTER_DRAWS + SLIDE]
    if is_first:
        for muscle in range(MUSCLE_COUNT):
            rows.origin[i, muscle] = _goal(rows, plan, i, muscle)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_activations(rows, plan, quantiles, i, counter, out):
    """Fill `out` (sample, muscle) with the activations of one stride; move the contraction and the walk on."""
    draws = np.empty(MUSCLE_COUNT, np.float32)
    fill_normals(rows.key[i], counter + WALK_OFFSET, quantiles, draws)
    amplitude = 1.0 + FATIGUE_AMPLITUDE * rows.fatigue[i]
    step = STRIDE_SECONDS / plan.samples
    for muscle in range(MUSCLE_COUNT):
        old_factor = math.exp(rows.walk[i, muscle])
        walk = rows.walk[i, muscle] + plan.walk * draws[muscle]
        rows.walk[i, muscle] = min(max(walk, -LARGEST_WALK), LARGEST_WALK)
        new_factor = math.exp(rows.walk[i, muscle])
        origin = rows.origin[i, muscle]
        goal = _goal(rows, plan, i, muscle)
        for sample in range(plan.samples):
            part = (sample + 0.5) / plan.samples
            seconds = rows.seconds[i] + (sample + 0.5) * step
            factor = old_factor + (new_factor - old_factor) * part
            level = _on_the_ramp(origin, goal, seconds)
            out[sample, muscle] = level * factor * amplitude
    rows.seconds[i] += STRIDE_SECONDS


@njit(cache=True, nogil=True, error_model="numpy")
def _tired(fatigue, effort):
    """Fatigue one stride later: it rises with effort, from 0 to 1, and falls with rest."""
    rise = effort * (1.0 - fatigue) / TIRING
    fall = (1.0 - effort) * fatigue / RECOVERY
    return fatigue + STRIDE_SECONDS * (rise - fall)


# -- volume conduction ---------------------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def fill_weights(rows, plan, i, out):
    """Fill `out` (territory, channel) with what each channel hears of each territory, the channel's gain included.

    w = d0 / sqrt(d_a^2 + d_z^2 + (depth + skin)^2), with the distance d_a around the arm and the distance d_z along it
    beyond the fibres' half length. Territories of a muscle share its power.
    """
    rotation = rows.shift[i, ROTATION] + rows.jitter[i, ROTATION]
    slide = rows.shift[i, SLIDE] + rows.jitter[i, SLIDE]
    worn = plan.age + rows.stride[i] * STRIDE_SECONDS
    settled = 1.0 - plan.settling * min(worn / SETTLING_TIME, 1.0)
    scale = settled * NEAR_DISTANCE / math.sqrt(TERRITORIES_PER_MUSCLE)
    # Single precision, and arrays without gaps: the loop over channels takes a tenth of the time.
    gain = np.empty(CHANNEL_COUNT, np.float32)
    electrode_turn = np.empty(CHANNEL_COUNT, np.float32)
    electrode_height = np.empty(CHANNEL_COUNT, np.float32)
    for channel in range(CHANNEL_COUNT):
        gain[channel] = scale * rows.gain[i, channel]
        angle = plan.electrodes[channel, ANGLE] + rotation / RADIUS
        electrode_turn[channel] = angle / (2 * math.pi)
        electrode_height[channel] = plan.electrodes[channel, HEIGHT] + slide
    half_turn = np.float32(0.5)
    nothing = np.float32(0.0)
    circumference = np.float32(2 * math.pi * RADIUS)
    half_length = np.float32(FIBRE_HALF_LENGTH)
    for territory in range(TERRITORY_COUNT):
        turn = np.float32(rows.territories[i, territory, ANGLE] / (2 * math.pi))
        height = np.float32(rows.territories[i, territory, HEIGHT])
        depth = np.float32(rows.territories[i, territory, DEPTH] + SKIN)
        for channel in range(CHANNEL_COUNT):
            turns = electrode_turn[channel] - turn
            around = (turns - np.floor(turns + half_turn)) * circumference
            along = max(abs(electrode_height[channel] - height) - half_length, nothing)
            squared = around * around + along * along + depth * depth
            out[territory, channel] = gain[channel] / np.sqrt(squared)


@njit(cache=True, nogil=True, error_model="numpy")
def _mix(drives, weights, out):
    """Add to `out` (sample, channel) the potentials: drives (sample, territory) times weights (territory, channel)."""
    for sample in range(drives.shape[0]):
        for territory in range(TERRITORY_COUNT):
            drive = drives[sample, territory]
            for channel in range(CHANNEL_COUNT):
                out[sample, channel] += drive * weights[territory, channel]


@njit(cache=True, nogil=True, error_model="numpy")
def _mix_delayed(drives, past, heights, electrode_heights, speed, weights, out):
    """`_mix` with potentials that run along the fibres: a channel hears what a territory gave some samples ago.

    Args:
        drives: (sample, territory) of this stride.
        past: (sample, territory) before this stride; it is moved on.
        heights: (territory,) m along the arm, as the sleeve lies.
        electrode_heights: (channel,) m.
        speed: m/s, of the potentials.
        weights: (territory, channel).
        out: (sample, channel), added to.
    """
    kept = past.shape[0]
    samples = drives.shape[0]
    rate = samples / STRIDE_SECONDS
    line = np.empty((kept + samples, TERRITORY_COUNT), np.float32)
    # Loops, not slices: numba takes seconds to compile the copy of a slice.
    for sample in range(kept):
        for territory in range(TERRITORY_COUNT):
            line[sample, territory] = past[sample, territory]
    for sample in range(samples):
        for territory in range(TERRITORY_COUNT):
            line[kept + sample, territory] = drives[sample, territory]
    for territory in range(TERRITORY_COUNT):
        for channel in range(CHANNEL_COUNT):
            run = abs(electrode_heights[channel] - heights[territory])
            delay = min(int(run / speed * rate + 0.5), kept)
            for sample in range(samples):
                heard = line[kept + sample - delay, territory]
                out[sample, channel] += heard * weights[territory, channel]
    for sample in range(kept):
        for territory in range(TERRITORY_COUNT):
            past[sample, territory] = line[samples + sample, territory]


# -- carriers ------------------------------------------------------------------------------------


class Stages(NamedTuple):
    """Coefficients of the carrier's stages: a high-pass, and a low-pass that is passed twice."""

    high_pass_back: float
    """factor of the last output"""
    high_pass_in: float
    """factor of the change of the input"""
    low_pass_back: float
    """factor of the last output"""
    low_pass_in: float
    """factor of the sum of the last two inputs"""
    scale: float
    """factor that makes the carrier's power 1"""


@njit(cache=True, nogil=True, error_model="numpy")
def _carrier_stages(fatigue, rate):
    """`Stages` by the bilinear transform, at a rate of samples in Hz."""
    slowing = 1.0 - FATIGUE_SLOWING * fatigue
    low = math.tan(math.pi * LOW_CORNER * slowing / rate)
    high = math.tan(math.pi * HIGH_CORNER * slowing / rate)
    high_pass_back = (1.0 - low) / (1.0 + low)
    high_pass_in = 1.0 / (1.0 + low)
    low_pass_back = (1.0 - high) / (1.0 + high)
    low_pass_in = high / (1.0 + high)
    # The power of filtered white noise is the sum of the squared impulse response.
    power = 0.0
    white = 1.0
    old_white = 0.0
    stage = 0.0
    first = 0.0
    second = 0.0
    for _ in range(int(RESPONSE_SECONDS * rate)):
        new_stage = high_pass_back * stage + high_pass_in * (white - old_white)
        new_first = low_pass_back * first + low_pass_in * (new_stage + stage)
        second = low_pass_back * second + low_pass_in * (new_first + first)
        power += second * second
        stage = new_stage
        first = new_first
        old_white = white
        white = 0.0
    scale = 1.0 / math.sqrt(power)
    return Stages(high_pass_back, high_pass_in, low_pass_back, low_pass_in, scale)


@njit(cache=True, nogil=True, error_model="numpy")
def _filter_carriers(white, filters, fatigue):
    """Turn white noise into carriers with the spectrum of muscles and power 1, in place.

    A high-pass at `LOW_CORNER` and a low-pass at `HIGH_CORNER`, passed twice, make the spectrum that is told there; fatigue
    lowers both corners. Each stage reads its own last output before it is overwritten.

    Args:
        white: float32 (sample, TERRITORY_COUNT), one whole stride: its length tells the rate.
        filters: float32 (stage, TERRITORY_COUNT), last values of each stage; moves on.
        fatigue: from 0 to 1.
    """
    rate = white.shape[0] / STRIDE_SECONDS
    stages = _carrier_stages(fatigue, rate)
    # Single precision throughout: the loop over territories takes half the time.
    high_pass_back = np.float32(stages.high_pass_back)
    high_pass_in = np.float32(stages.high_pass_in)
    low_pass_back = np.float32(stages.low_pass_back)
    low_pass_in = np.float32(stages.low_pass_in)
    scale = np.float32(stages.scale)
    for sample in range(white.shape[0]):
        for territory in range(TERRITORY_COUNT):
            value = white[sample, territory]
            change = value - filters[WHITE, territory]
            old_high_pass = filters[HIGH_PASS, territory]
            old_first_low_pass = filters[FIRST_LOW_PASS, territory]
            old_second_low_pass = filters[SECOND_LOW_PASS, territory]
            high_pass = high_pass_back * old_high_pass + high_pass_in * change
            first = low_pass_back * old_first_low_pass + low_pass_in * (high_pass + old_high_pass)
            second = low_pass_back * old_second_low_pass + low_pass_in * (
                first + old_first_low_pass
            )
            filters[WHITE, territory] = value
            filters[HIGH_PASS, territory] = high_pass
            filters[FIRST_LOW_PASS, territory] = first
            filters[SECOND_LOW_PASS, territory] = second
            white[sample, territory] = scale * second


@njit(inline="always", error_model="numpy")
def _fill_units(key, first, quantiles, activations, fatigue, waiting, tail, out):
    """Fill `out` (sample, territory) with what motor units give.

    Args:
        key: of the simulation.
        first: counter of the first draw.
        quantiles: `draws.QUANTILES`.
        activations: (muscle,).
        fatigue: from 0 to 1.
        waiting: (unit,) s to each unit's next discharge; moves on.
        tail: (sample, territory) of earlier potentials; moves on.
        out: filled.
    """
    uniforms = np.empty(UNIT_COUNT)
    normals = np.empty((UNIT_COUNT, MOST_DISCHARGES), np.float32)
    for unit in range(UNIT_COUNT):
        uniforms[unit] = uniform(key, first + np.uint64(unit))
    fill_normals(key, first + np.uint64(UNIT_COUNT), quantiles, normals.reshape(-1))
    discharge(activations, fatigue, STRIDE_SECONDS, uniforms, normals, waiting, tail, out)


@njit(inline="always", error_model="numpy")
def _fill_drives(rows, plan, quantiles, i, counter, activations, work, out):
    """Fill `out` (sample, territory) with carriers times activations.

    Args:
        rows: of all simulations.
        plan: of the stream.
        quantiles: `draws.QUANTILES`.
        i: the simulation.
        counter: first of the stride.
        activations: (sample, muscle).
        work: of all simulations; what the carriers keep moves on.
        out: filled.
    """
    key = rows.key[i]
    first_draw = counter + CARRIER_OFFSET
    fatigue = rows.fatigue[i]
    if plan.has_units:
        middle = activations[plan.samples // 2]
        waiting = work.waiting[i]
        _fill_units(key, first_draw, quantiles, middle, fatigue, waiting, work.tail[i], out)
    else:
        fill_normals(key, first_draw, quantiles, out.reshape(-1))
        if not plan.is_power:
            _filter_carriers(out, work.filters[i], fatigue)
    carrier = np.float32(plan.carrier)
    for sample in range(plan.samples):
        for muscle in range(MUSCLE_COUNT):
            activation = carrier * activations[sample, muscle]
            first = muscle * TERRITORIES_PER_MUSCLE
            for territory in range(first, first + TERRITORIES_PER_MUSCLE):
                out[sample, territory] *= activation


# -- what else reaches a channel -----------------------------------------------------------------


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_noise(key, first, quantiles, noise, samples):
    """Fill the samples (sample, channel) with each channel's own noise, whose root mean square is given."""
    fill_normals(key, first, quantiles, samples.reshape(-1))
    factor = np.float32(noise)
    for sample in range(samples.shape[0]):
        for channel in range(CHANNEL_COUNT):
            samples[sample, channel] *= factor


@njit(cache=True, nogil=True, error_model="numpy")
def _add_mains(key, stride, frequency, level, samples):
    """Add the mains' hum, which is the same in every channel.

    Args:
        key: of the simulation, which decides the phase.
        stride: number of the stride.
        frequency: Hz.
        level: root mean square.
        samples: (sample, channel), added to.
    """
    phase = 2 * math.pi * uniform(key, CONTRACTION_DOMAIN)
    step = STRIDE_SECONDS / samples.shape[0]
    for sample in range(samples.shape[0]):
        seconds = stride * STRIDE_SECONDS + (sample + 0.5) * step
        angle = 2 * math.pi * frequency * seconds + phase
        hum = np.float32(math.sqrt(2.0) * level * math.sin(angle))
        for channel in range(CHANNEL_COUNT):
            samples[sample, channel] += hum


@njit(cache=True, nogil=True, error_model="numpy")
def _begin_burst(key, first, often, burst):
    """Draw whether an artefact of motion begins in this stride, and which.

    Args:
        key: of the simulation.
        first: counter of the first draw.
        often: artefacts a second.
        burst: columns of `state`; written where one begins.
    """
    if uniform(key, first) >= often * STRIDE_SECONDS:
        return
    length = uniform(key, first + np.uint64(1))
    pitch = uniform(key, first + np.uint64(2))
    place = uniform(key, first + np.uint64(3))
    phase = uniform(key, first + np.uint64(4))
    burst[BURST_AGE] = 0.0
    burst[BURST_SECONDS] = BURST_SHORTEST + (BURST_LONGEST - BURST_SHORTEST) * length
    burst[BURST_FREQUENCY] = BURST_SLOWEST + (BURST_FASTEST - BURST_SLOWEST) * pitch
    burst[BURST_COLUMN] = COLUMNS * place
    burst[BURST_PHASE] = 2 * math.pi * phase


@njit(cache=True, nogil=True, error_model="numpy")
def _add_burst(burst, is_power, samples):
    """Add the artefact of motion that is going on: a sine under a raised cosine, on a patch of columns.

    Args:
        burst: columns of `state`; it moves on.
        is_power: whether only what passes the decoder's band counts.
        samples: (sample, channel), added to.
    """
    length = burst[BURST_SECONDS]
    frequency = burst[BURST_FREQUENCY]
    # A Butterworth's skirt of the fourth order at 20 Hz.
    passed = 1.0
    if is_power:
        passed = 1.0 / math.sqrt(1.0 + (20.0 / frequency) ** 8)
    step = STRIDE_SECONDS / samples.shape[0]
    for sample in range(samples.shape[0]):
        age = burst[BURST_AGE] + (sample + 0.5) * step
        if age < length:
            envelope = 0.5 - 0.5 * math.cos(2 * math.pi * age / length)
            wave = math.sin(2 * math.pi * frequency * age + burst[BURST_PHASE])
            height = BURST_HEIGHT * passed * envelope * wave
            for channel in range(CHANNEL_COUNT):
                distance = abs(channel % COLUMNS - burst[BURST_COLUMN])
                distance = min(distance, COLUMNS - distance) / BURST_WIDTH
                samples[sample, channel] += np.float32(
                    height * math.exp(-0.5 * distance * distance)
                )
    burst[BURST_AGE] += STRIDE_SECONDS
    if burst[BURST_AGE] >= length:
        burst[BURST_SECONDS] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _refer(montage, samples):
    """Measure each channel against what the montage says, in place."""
    for sample in range(samples.shape[0]):
        if montage == AVERAGE:
            total = 0.0
            for channel in range(CHANNEL_COUNT):
                total += samples[sample, channel]
            mean = np.float32(total / CHANNEL_COUNT)
            for channel in range(CHANNEL_COUNT):
                samples[sample, channel] -= mean
        elif montage == LONGITUDINAL:
            for channel in range(CHANNEL_COUNT - COLUMNS):
                samples[sample, channel] -= samples[sample, channel + COLUMNS]
            # The last row has no neighbour: it repeats the difference of the row before it.
            for channel in range(CHANNEL_COUNT - COLUMNS, CHANNEL_COUNT):
                samples[sample, channel] = samples[sample, channel - COLUMNS]


# -- one stride ----------------------------------------------------------------------------------


@njit(inline="always", error_model="numpy")
def _stride(rows, plan, quantiles, i, gesture, effort, work, samples):
    """Make one stride of simulation `i`.

    Args:
        rows: of all simulations; row `i` moves on.
        plan: of the stream.
        quantiles: `draws.QUANTILES`.
        i: the simulation.
        gesture: that is asked for.
        effort: that is asked for.
        work: of all simulations; what the carriers keep moves on.
        samples: (sample, channel), filled.
    """
    counter = np.uint64(rows.stride[i]) << STRIDE_BITS
    is_first = rows.contraction[i] == 0
    is_changed = gesture != rows.gesture[i] or effort != rows.effort[i]
    if is_first or is_changed or rows.is_cued[i]:
        _begin_contraction(rows, plan, quantiles, i, gesture, effort, is_first)
    activations = np.empty((plan.samples, MUSCLE_COUNT), np.float32)
    _fill_activations(rows, plan, quantiles, i, counter, activations)
    weights = np.empty((TERRITORY_COUNT, CHANNEL_COUNT), np.float32)
    fill_weights(rows, plan, i, weights)

    drives = np.empty((plan.samples, TERRITORY_COUNT), np.float32)
    _fill_drives(rows, plan, quantiles, i, counter, activations, work, drives)
    # Where only the mean square is told, `_write_power` adds what the noise brings to it.
    noise = 0.0 if plan.is_power else plan.noise
    _fill_noise(rows.key[i], counter + NOISE_OFFSET, quantiles, noise, samples)
    if plan.propagation > 0:
        slide = rows.shift[i, SLIDE] + rows.jitter[i, SLIDE]
        heights = rows.territories[i, :, HEIGHT] - slide
        electrode_heights = plan.electrodes[:, HEIGHT]
        _mix_delayed(
            drives,
            work.past[i],
            heights,
            electrode_heights,
            plan.propagation,
            weights,
            samples,
        )
    else:
        _mix(drives, weights, samples)
    if plan.mains > 0:
        _add_mains(rows.key[i], rows.stride[i], plan.mains, plan.mains_level, samples)
    if plan.artefacts > 0:
        burst = rows.burst[i]
        if burst[BURST_SECONDS] == 0.0:
            _begin_burst(rows.key[i], counter + BURST_OFFSET, plan.artefacts, burst)
        if burst[BURST_SECONDS] > 0.0:
            _add_burst(burst, plan.is_power, samples)
    if plan.montage != 0:
        _refer(plan.montage, samples)
    if plan.fatigue_grows:
        effort_made = 0.0 if gesture == REST else min(effort, 1.0)
        rows.fatigue[i] = _tired(rows.fatigue[i], effort_made)
    rows.stride[i] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def make(first, last, ids, gestures, efforts, rows, plan, quantiles, work):
    """Make one stride of simulations ``ids[first:last]``, and write the channels' mean squares or signals.

    Args:
        first: first item of `ids` that is looked at.
        last: item of `ids` before which to stop.
        ids: (k,) simulations.
        gestures: (k,) gestures that are asked for.
        efforts: (k,) strengths that are asked for.
        rows: of all simulations; those of `ids` move on.
        plan: of the stream.
        quantiles: `draws.QUANTILES`.
        work: of the stream's level; rows of `ids` are written.
    """
    samples = np.empty((plan.samples, CHANNEL_COUNT), np.float32)
    for number in range(first, last):
        i = ids[number]
        gesture = gestures[number]
        effort = efforts[number]
        _stride(rows, plan, quantiles, i, gesture, effort, work, samples)
        if plan.is_power:
            counter = np.uint64(rows.stride[i] - 1) << STRIDE_BITS
            _write_power(samples, plan.noise, rows.key[i], counter, quantiles, work.power[i])
        else:
            _write_signal(samples, work.signal[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _write_power(samples, noise, key, counter, quantiles, out):
    """Write the mean square of each channel over the stride, as far as a saturated one goes.

    The noise has more independent values in a stride than the muscles: it is not drawn value by value. What it makes of
    the muscles' mean square is a noncentral chi-square variable: the component of the noise along the muscles' signal
    adds to the root, and the others add their squares (by the cube of Wilson and Hilferty 1931).
    """
    draws = np.empty(2 * CHANNEL_COUNT, np.float32)
    fill_normals(key, counter + NOISE_OFFSET, quantiles, draws)
    others = NOISE_VALUES - 1
    spread = 2.0 / (9.0 * others)
    for channel in range(CHANNEL_COUNT):
        square = 0.0
        for sample in range(samples.shape[0]):
            square += samples[sample, channel] * samples[sample, channel]
        root = math.sqrt(square / samples.shape[0])
        along = root + noise * draws[2 * channel] / math.sqrt(NOISE_VALUES)
        cube = 1.0 - spread + math.sqrt(spread) * draws[2 * channel + 1]
        across = noise * noise * cube * cube * cube * others / NOISE_VALUES
        out[channel] = min(along * along + across, RAIL * RAIL)


@njit(cache=True, nogil=True, error_model="numpy")
def _write_signal(samples, out):
    """Write the samples (sample, channel) as (channel, sample), between the rails."""
    for channel in range(CHANNEL_COUNT):
        for sample in range(samples.shape[0]):
            out[channel, sample] = min(max(samples[sample, channel], -RAIL), RAIL)
