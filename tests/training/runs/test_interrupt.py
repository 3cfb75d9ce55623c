"""Ctrl-C waits for a safe point, a second one does not, and the handler from before comes back."""

import os
import signal

import pytest

from lancelet.training.runs import interrupt


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_waits_for_a_check():
    before, seen = signal.getsignal(signal.SIGINT), []
    with pytest.raises(KeyboardInterrupt), interrupt.deferred():
        press()
        seen.append("still here")
        interrupt.check()
        seen.append("never")
    assert seen == ["still here"] and signal.getsignal(signal.SIGINT) is before
    interrupt.check()  # nothing waits any more


def test_the_second_does_not_wait():
    with pytest.raises(KeyboardInterrupt), interrupt.deferred():
        press()
        press()
        pytest.fail("the second was held back")


def test_one_without_a_later_check_comes_at_the_end():
    with pytest.raises(KeyboardInterrupt), interrupt.deferred():
        press()
