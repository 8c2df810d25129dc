"""How long a set of builds still takes: by what ran, never by what lay in the cache, and nothing while unknown."""

import pytest

from edgefleet_controller.models.pace import BuildShare, in_words, seconds_left, share_done


def test_the_share_that_is_done_is_weighted() -> None:
    assert share_done([BuildShare(9, 1.0), BuildShare(1)]) == pytest.approx(0.9)
    assert share_done([]) == 1.0


def test_the_rest_takes_what_the_pace_so_far_says() -> None:
    assert seconds_left([BuildShare(10, 0.5), BuildShare(10)], elapsed_s=30) == pytest.approx(90)


def test_what_came_from_the_cache_says_nothing_of_the_pace() -> None:
    assert seconds_left([BuildShare(10, 1.0, cached=1.0), BuildShare(10, 0.5)], elapsed_s=30) == pytest.approx(30)
    assert seconds_left([BuildShare(10, 1.0, cached=1.0), BuildShare(10)], elapsed_s=30) is None


def test_at_the_beginning_nothing_is_promised() -> None:
    assert seconds_left([BuildShare(10, 0.01), BuildShare(10)], elapsed_s=30) is None
    assert seconds_left([BuildShare(10, 0.5)], elapsed_s=0.5) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0.2, "at most about 1 s left"), (42.0, "at most about 42 s left"), (200, "at most about 3 min left")],
)
def test_it_is_said_in_words(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words
