"""The last answers are bounded in number and in bytes, whatever clients ask and name their requests."""

import random
import tracemalloc

from edgefleet_agent.recent import MAX_RECENT, MAX_SCOPES, AnswerScope, Key, RecentAnswer, RecentAnswers

KEY = Key("pets", 1, "0" * 64, 1)


def test_the_last_answers_are_found_and_older_ones_not() -> None:
    recent = RecentAnswers(at_most=3)
    for number in range(5):
        recent.keep(f"r{number}", KEY, b"%d" % number, "scorer")
    assert [recent.find("pets", f"r{number}") is None for number in range(5)] == [True, True, False, False, False]
    assert recent.find("pets", "r4") == RecentAnswer(AnswerScope(KEY, "scorer"), b"4", False)
    assert recent.find("others", "r4") is None


def test_an_id_that_comes_again_means_the_later_answer() -> None:
    recent = RecentAnswers()
    recent.keep("r", KEY, b"one", "")
    recent.mark_labelled("pets", "r")
    recent.keep("r", KEY, b"two", "")
    found = recent.find("pets", "r")
    assert found and (found.answers, found.labelled) == (b"two", False)
    for number in range(MAX_RECENT):
        recent.keep(f"r{number}", KEY, b"four", "")
    assert recent.find("pets", "r") is None, "the older one does not come back"


def test_large_answers_push_out_older_ones_and_the_newest_is_always_kept() -> None:
    recent = RecentAnswers(kept_bytes=1_000_000)
    recent.keep("small", KEY, b"1", "")
    for number in range(50):
        recent.keep(f"r{number}", KEY, b"%d" % (number % 10) * 300_000, "")
    kept = [number for number in range(50) if (found := recent.find("pets", f"r{number}")) and found.answers]
    assert kept == [47, 48, 49]
    recent.keep("large", KEY, b"1" * 5_000_000, "")
    found = recent.find("pets", "large")
    assert found and len(found.answers) == 5_000_000
    before = recent.find("pets", "r49")
    assert before and not before.answers
    recent.mark_labelled("pets", "large")
    recent.keep("next", KEY, b"1" * 900_000, "")
    marked, small = recent.find("pets", "large"), recent.find("pets", "small")
    assert marked and marked.labelled and not marked.answers, "what has had its label takes no room"
    assert small and not small.answers


def test_every_answer_comes_back_as_it_was_whatever_was_labelled_or_pushed_out() -> None:
    rng, recent = random.Random(0), RecentAnswers(at_most=200, kept_bytes=300_000)
    kept: dict[str, bytes] = {}
    for number in range(3_000):
        answers = rng.randbytes(rng.choice([0, 30, 4_000, 70_000]))
        recent.keep(f"r{number}", KEY, answers, "")
        kept[f"r{number}"] = answers
        if rng.random() < 0.3:
            recent.mark_labelled("pets", f"r{rng.randrange(number + 1)}")
        for name in rng.sample(list(kept), min(len(kept), 5)):
            found = recent.find("pets", name)
            assert found is None or found.answers in (kept[name], b"")
    newest = recent.find("pets", "r2999")
    assert newest and (newest.answers == kept["r2999"] or newest.labelled)


def test_more_versions_than_there_are_numbers_begin_anew() -> None:
    recent = RecentAnswers(at_most=10)
    for number in range(MAX_SCOPES + 1):
        recent.keep(f"r{number}", Key("pets", number, "0" * 64, number), b"1", "")
    found = recent.find("pets", f"r{MAX_SCOPES}")
    assert found and found.scope.key.generation == MAX_SCOPES
    assert recent.find("pets", f"r{MAX_SCOPES - 1}") is None


def test_all_of_them_take_little_with_the_longest_ids_and_many_versions() -> None:
    recent = RecentAnswers()
    tracemalloc.start()
    try:
        for number in range(3 * MAX_RECENT):
            key = Key("pets", number // 100, f"{number // 100:064d}", number)
            recent.keep(f"{number:0200d}", key if number % 100 == 0 else KEY, b"x" * 36, "one")
        taken_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert recent.find("pets", f"{2 * MAX_RECENT:0200d}") and not recent.find("pets", f"{2 * MAX_RECENT - 1:0200d}")
    assert taken_bytes < 1.5 * 2**20
