import numpy as np
import pytest

from lancelet.emg_layout import CHANNEL_COUNT, GESTURES, REST
from lancelet.envs.emg.stream import Stream

FIST = GESTURES.index("fist")


def started(stream: Stream, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    memory = stream.memory(n)
    rngs = [np.random.default_rng(seed + i) for i in range(n)]
    stream.reset(memory, np.arange(n), rngs)
    return memory


@pytest.mark.parametrize("level", ["power", "signal"])
def test_a_fist_is_louder_than_rest(level):
    stream = Stream(level=level, users=(0,))
    memory = started(stream, 2)
    assert all(name.startswith("emg_") for name in memory)
    for _ in range(10):
        stream.advance(memory, np.array([REST, FIST]), np.ones(2))
    output = memory[stream.output]
    assert output.shape[:2] == (2, CHANNEL_COUNT)
    assert np.sqrt(np.mean(output[1] ** 2)) > 2 * np.sqrt(np.mean(output[0] ** 2))
