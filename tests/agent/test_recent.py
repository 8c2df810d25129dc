"""The last answers are bounded in number and in bytes, whatever clients ask and name their requests."""

import tracemalloc

import pytest

from edgefleet_agent.recent import MAX_RECENT, MAX_SCOPES, Key, RecentAnswers

KEY = Key("pets", 1, "0" * 64, 1)


def test_the_last_answers_are_found_and_older_ones_not() -> None:
    recent = RecentAnswers(at_most=3)
    for number in range(5):
        recent.keep(f"r{number}", KEY, [number], 10, ("cat",))
    assert [recent.find("pets", f"r{number}") is None for number in range(5)] == [True, True, False, False, False]
    found = recent.find("pets", "r4")
    assert found and (found.classes, found.labelled, found.scope.key, found.scope.names) == ((4,), False, KEY, ("cat",))
    assert recent.find("others", "r4") is None


def test_an_id_that_comes_again_means_the_later_answer() -> None:
    recent = RecentAnswers()
    recent.keep("r", KEY, [1], 10, ())
    recent.mark_labelled("pets", "r")
    recent.keep("r", KEY, [2, 3], 10, ())
    found = recent.find("pets", "r")
    assert found and (found.classes, found.labelled) == ((2, 3), False)
    for number in range(MAX_RECENT):
        recent.keep(f"r{number}", KEY, [4], 10, ())
    assert recent.find("pets", "r") is None, "the older one does not come back"


@pytest.mark.parametrize("of", [2, 256, 257, 65536, 65537, 10**6])
def test_every_class_of_a_model_is_kept_as_it_is(of: int) -> None:
    recent = RecentAnswers()
    recent.keep("r", KEY, [0, of - 1], of, ())
    found = recent.find("pets", "r")
    assert found and found.classes == (0, of - 1)


def test_large_batches_push_out_older_ones_and_the_newest_is_always_kept() -> None:
    recent = RecentAnswers(rows_bytes=1000)
    recent.keep("single", KEY, [1], 10, ())
    for number in range(50):
        recent.keep(f"r{number}", KEY, [number % 10] * 300, 10, ())
    assert [number for number in range(50) if recent.find("pets", f"r{number}")] == [47, 48, 49]
    recent.keep("large", KEY, [1] * 5000, 10, ())
    found = recent.find("pets", "large")
    assert found and len(found.classes) == 5000 and recent.find("pets", "r49") is None
    recent.mark_labelled("pets", "large")
    recent.keep("next", KEY, [1] * 900, 10, ())
    marked = recent.find("pets", "large")
    assert marked and marked.labelled, "what has had its label takes no room"
    assert recent.find("pets", "single")


def test_an_answer_that_names_no_class_is_known_all_the_same() -> None:
    recent = RecentAnswers()
    recent.keep("r", KEY, [], 0, ())
    found = recent.find("pets", "r")
    assert found and found.classes == ()


def test_more_versions_than_there_are_numbers_begin_anew() -> None:
    recent = RecentAnswers(at_most=10)
    for number in range(MAX_SCOPES + 1):
        recent.keep(f"r{number}", Key("pets", number, "0" * 64, number), [1], 10, ())
    found = recent.find("pets", f"r{MAX_SCOPES}")
    assert found and found.scope.key.generation == MAX_SCOPES
    assert recent.find("pets", f"r{MAX_SCOPES - 1}") is None


def test_all_of_them_take_less_than_a_megabyte_with_the_longest_ids_and_many_versions() -> None:
    recent = RecentAnswers()
    tracemalloc.start()
    try:
        for number in range(3 * MAX_RECENT):
            key = Key("pets", number // 100, f"{number // 100:064d}", number)
            recent.keep(f"{number:0200d}", key if number % 100 == 0 else KEY, [number % 10], 10, ("cat",) * 10)
        taken_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert recent.find("pets", f"{2 * MAX_RECENT:0200d}") and not recent.find("pets", f"{2 * MAX_RECENT - 1:0200d}")
    assert taken_bytes < 2**20
