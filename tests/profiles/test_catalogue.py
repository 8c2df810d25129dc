"""The shipped catalogue is whole and sourced, and the operator's entries win over it."""

from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from tests.deep_toml import UNUSABLE

from edgefleet_profiles.catalogue import Catalogue, load_catalogue
from edgefleet_profiles.check import figures
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_profiles.errors import CatalogueError, UnknownName
from edgefleet_profiles.parts import GENERIC, is_generic
from edgefleet_profiles.profile import DeviceProfile

LINK = """
title = "A line of our own"
down_kbps = 2000
rtt_ms = 40
loss = 0.0
usd_per_mb = 0.01
joule_per_mb = 1.0
metered = true

[sources]
down_kbps = "https://example.com/contract"
rtt_ms = "estimate: what ping says"
loss = "estimate: none seen"
usd_per_mb = "https://example.com/contract"
joule_per_mb = "estimate: as a radio of that speed"
"""
REGION = """title = "Here"
timezone = "UTC"
usd_per_kwh = 1
g_co2_per_kwh = 1
may_leave = []
"""
GENERIC_BOARD = """
title = "Any board"
arch = "aarch64"
isa = ["asimd"]
cores = 4
ram_mb = 1024
storage_mb = 8000
idle_w = 2.0
active_w = 4.0
latency_factor = 9.0

[sources]
cores = "estimate: as on others"
ram_mb = "estimate: as on others"
storage_mb = "estimate: as on others"
idle_w = "estimate: as on others"
active_w = "estimate: as on others"
latency_factor = "estimate: as on others"
"""


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return load_catalogue()


def operator_with(folder: Path, path: str, text: str) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return folder


def test_the_shipped_catalogue_holds_the_first_boards_links_and_regions(shipped: Catalogue) -> None:
    boards = {"rpi5", "rpi4", "rpi-zero-2w", "imx8mp", "rk3588", "x86-avx2", "x86-vnni"}
    assert boards == {name for name in shipped.hardware if not is_generic(name)}
    assert {"ethernet", "wifi", "lte", "nb-2g"} == shipped.link.keys()
    assert {"eu", "na", "sa", "in", "jp"} == shipped.region.keys()


def test_every_region_hardware_and_link_make_a_profile_that_is_found_by_its_name(shipped: Catalogue) -> None:
    profiles = list(shipped.profiles())
    assert len(profiles) == len(shipped.region) * len(shipped.hardware) * len(shipped.link)
    for profile in profiles:
        assert shipped.profile(str(profile)) == profile


def test_every_shipped_figure_has_a_source_and_every_source_a_figure(shipped: Catalogue) -> None:
    for entries in (shipped.hardware, shipped.link, shipped.region):
        for name, entry in entries.items():
            assert entry.sources.keys() == entry.figures().keys(), name


def test_the_check_tells_figures_that_were_read_from_estimates(shipped: Catalogue) -> None:
    found = {(f.part, f.name, f.field): f for f in figures(shipped)}
    read, guessed = found["hardware", "rpi4", "active_w"], found["link", "wifi", "loss"]
    assert (read.value, read.estimated) == (7.2, False)
    assert read.source.startswith("https://")
    assert guessed.estimated and guessed.source and not guessed.source.startswith("estimate")


@pytest.mark.parametrize(
    ("hardware", "instruction_set"),
    [
        ("rpi5", "arm-dotprod"),
        ("rk3588", "arm-dotprod"),
        ("rpi4", "arm-neon"),
        ("rpi-zero-2w", "arm-neon"),
        ("imx8mp", "arm-neon"),
        ("x86-avx2", "x86-avx2"),
        ("x86-vnni", "x86-vnni"),
    ],
)
def test_each_board_falls_into_its_instruction_set_class(
    shipped: Catalogue, hardware: str, instruction_set: str
) -> None:
    profile = DeviceProfile(region=shipped.region["eu"], hardware=shipped.hardware[hardware], link=shipped.link["lte"])
    assert profile.device_class.instruction_set == instruction_set


@pytest.mark.parametrize(
    ("arch", "flags", "name"),
    [
        ("x86_64", {"sse4_2"}, "generic-x86-sse"),
        ("x86_64", {"avx2", "avx512f"}, "generic-x86-avx2"),
        ("x86_64", {"avx2", "avx512_vnni"}, "generic-x86-vnni"),
        ("aarch64", {"asimd"}, "generic-arm-neon"),
        ("aarch64", {"asimd", "asimddp", "i8mm", "sve"}, "generic-arm-dotprod"),
    ],
)
def test_a_processor_has_a_generic_class(shipped: Catalogue, arch: str, flags: set[str], name: str) -> None:
    found = shipped.generic(arch, flags)
    assert found is not None and found.name == name


def test_every_instruction_set_has_a_generic_class_and_no_other_processor_has_one(shipped: Catalogue) -> None:
    generic = {name.removeprefix(GENERIC) for name in shipped.hardware if is_generic(name)}
    assert generic == set(get_args(InstructionSet))
    assert shipped.generic("riscv64", set()) is None


def test_a_generic_class_is_never_faster_than_a_board_of_its_class(shipped: Catalogue) -> None:
    for profile in shipped.board_profiles():
        generic = shipped.hardware[GENERIC + profile.device_class.instruction_set]
        assert generic.latency_factor >= profile.hardware.latency_factor, profile.hardware.name


def test_the_profiles_of_boards_leave_generic_classes_out(shipped: Catalogue) -> None:
    boards, every = set(map(str, shipped.board_profiles())), set(map(str, shipped.profiles()))
    assert every - boards == {name for name in every if f"/{GENERIC}" in name}


def test_only_the_thin_link_gets_small_chunks_and_the_mobile_ones_are_metered(shipped: Catalogue) -> None:
    assert {name for name, link in shipped.link.items() if link.chunk_bytes < 48 * 1024} == {"nb-2g"}
    assert {name for name, link in shipped.link.items() if link.metered} == {"lte", "nb-2g"}


def test_every_region_names_a_time_zone_that_exists(shipped: Catalogue) -> None:
    for region in shipped.region.values():
        assert ZoneInfo(region.timezone).key == region.timezone


@pytest.mark.parametrize(
    ("model", "hardware"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", "rpi5"),
        ("Raspberry Pi 4 Model B Rev 1.4\x00", "rpi4"),
        ("Raspberry Pi Compute Module 4 Rev 1.0", "rpi4"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "rpi-zero-2w"),
        ("NXP i.MX8MPlus EVK board", "imx8mp"),
        ("Radxa ROCK 5B", "rk3588"),
        ("Rockchip RK3588 EVB1 V10 Board", "rk3588"),
    ],
)
def test_a_board_is_detected_by_its_device_tree(shipped: Catalogue, model: str, hardware: str) -> None:
    found = shipped.detect(model)
    assert found is not None and found.name == hardware


@pytest.mark.parametrize("model", ["", "Raspberry Pi 3 Model B Plus Rev 1.3", "BeagleBoard.org PocketBeagle"])
def test_a_board_that_is_in_no_entry_is_not_guessed(shipped: Catalogue, model: str) -> None:
    assert shipped.detect(model) is None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("eu/rpi44/lte", "no hardware 'rpi44': did you mean rpi4"),
        ("eu/rpi4/ltee", "no link 'ltee': did you mean lte"),
        ("mars/rpi4/lte", "no region 'mars': "),
        ("rpi4/lte", "write region/hardware/link"),
    ],
)
def test_an_unknown_profile_names_what_is_near(shipped: Catalogue, name: str, says: str) -> None:
    with pytest.raises(UnknownName, match=says):
        shipped.profile(name)


def test_the_operators_entry_wins_over_the_shipped_one_of_its_name(tmp_path: Path, shipped: Catalogue) -> None:
    catalogue = load_catalogue(operator_with(tmp_path, "link/lte.toml", LINK))
    assert catalogue.link["lte"].down_kbps == 2000
    assert catalogue.link["wifi"] == shipped.link["wifi"]
    assert catalogue.hardware == shipped.hardware


def test_the_operator_adds_entries_of_his_own(tmp_path: Path) -> None:
    catalogue = load_catalogue(operator_with(tmp_path, "link/satellite.toml", LINK))
    assert str(catalogue.profile("eu/rpi4/satellite")) == "eu/rpi4/satellite"


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        *[("link/x.toml", text, r"x\.toml is not TOML") for text in UNUSABLE.values()],
        ("link/x.toml", "title =\n", r"x\.toml is not TOML.*line 1.*correct that line"),
        ("link/x.toml", LINK.replace("rtt_ms = 40\n", ""), r"x\.toml: rtt_ms: missing: add it"),
        (
            "link/x.toml",
            LINK.replace("= 2000", "= -1"),
            r"down_kbps: .*at least 0.1, not -1",
        ),
        ("link/x.toml", LINK.replace("metered =", "metred ="), r"'metred' is not known here: did you mean 'metered'\?"),
        (
            "region/x.toml",
            REGION + "[delivery_window]\nform_minute = 1\n",
            r"'delivery_window.form_minute' .* 'from_minute'\?",
        ),
        ("link/x.toml", LINK.replace('loss = "estimate: none seen"', ""), r"no source for loss: add it"),
        ("link/x.toml", LINK.replace("estimate: none seen", "estimate:"), r"the source of 'loss' .* <reasoning>"),
        ("link/x.toml", LINK.replace("estimate: none seen", "a colleague"), r"the source of 'loss' of 'x'"),
        ("link/x.toml", 'name = "y"\n' + LINK, r"name is 'y': remove it"),
        ("link/Not A Name.toml", LINK, r"name: 'Not A Name' is not a name: use lower-case"),
        ("hardware/generic-x86-vnni.toml", GENERIC_BOARD, r"does not match its flags: name it generic-arm-neon"),
        (
            "hardware/generic-arm-neon.toml",
            GENERIC_BOARD.replace("\n\n", '\ndetect = ["x"]\n\n'),
            r"generic class: move detect to",
        ),
        ("links/x.toml", LINK, r"links would be ignored: move its entries to one of hardware, link, region"),
        ("x.toml", LINK, r"x\.toml would be ignored"),
    ],
)
def test_a_broken_entry_is_refused_with_file_field_and_remedy(tmp_path: Path, path: str, text: str, says: str) -> None:
    with pytest.raises(CatalogueError, match=says):
        load_catalogue(operator_with(tmp_path, path, text))


def test_an_operators_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="is not a folder: create it"):
        load_catalogue(tmp_path / "nowhere")
