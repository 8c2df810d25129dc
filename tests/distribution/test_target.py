"""What a bundle may be made for, and what pip is told."""

import pytest
from distribution.__main__ import main
from distribution.bundle import constraints
from distribution.errors import DistributionError
from distribution.target import Target, targets
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

NEEDS = SpecifierSet(">=3.11")


@pytest.mark.parametrize(
    ("arch", "python", "says"),
    [
        ("armv7l", "3.11", "no bundle for 'armv7l': choose one of aarch64, x86_64"),
        ("aarch64", "3.10", "needs Python >=3.11, so there is no bundle for 3.10"),
        ("aarch64", "3", "'3' is not a version of Python: write it like 3.11"),
        ("aarch64", "3.11.2", "'3.11.2' is not a version of Python"),
    ],
)
def test_an_unknown_target_is_refused_with_what_to_write(arch: str, python: str, says: str) -> None:
    with pytest.raises(DistributionError, match=says):
        targets(arch, [python], NEEDS)


def test_a_target_that_is_named_twice_is_one() -> None:
    assert targets("aarch64", ["3.13", "3.11", "3.13"], NEEDS) == [Target("aarch64", "3.13"), Target("aarch64", "3.11")]


def test_pip_is_told_every_platform_whose_wheels_run_there() -> None:
    options = Target("aarch64", "3.13").pip_options
    assert {"--only-binary=:all:", "--python-version=3.13", "--platform=manylinux_2_28_aarch64"} <= set(options)
    assert {"--platform=manylinux_2_17_aarch64", "--platform=manylinux2014_aarch64"} <= set(options)
    assert not [option for option in options if "x86_64" in option]


def test_a_version_that_is_asked_for_wins_over_its_constraint_and_the_others_hold() -> None:
    text = "# pins\nonnxruntime==1.31.1\nbackports.zstd==1.8.0 # a note\nnumpy==2.4.6\n"
    chosen = [Requirement("onnxruntime==1.23.2"), Requirement("backports-zstd<1.8")]
    assert constraints(text, chosen) == ["numpy==2.4.6"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--python", "3.11"], "add --bundle ARCH"),
        (["onnxruntime==1.23.2"], "add --bundle ARCH"),
        (["--bundle", "aarch64", "onnxruntime=1.23.2"], "'onnxruntime=1.23.2' is not a requirement"),
    ],
)
def test_wrong_usage_is_told_in_a_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert says in capsys.readouterr().err


def test_an_unknown_target_is_refused_before_anything_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", "sparc"]) == 1
    assert capsys.readouterr().err == ("scripts/build: there is no bundle for 'sparc': choose one of aarch64, x86_64\n")
