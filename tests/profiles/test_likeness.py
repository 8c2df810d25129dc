"""One rule says whether a machine is what an entry says, on the device and at the controller."""

import pytest
from tests.reports import report_with

from edgefleet_agent.processor import differs, is_false
from edgefleet_controller.records import DeviceRecord
from edgefleet_controller.rollouts.likeness import unlike
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.likeness import HardwareDifference, difference
from edgefleet_protocol.messages import Facts, HostFacts

CATALOGUE = load_catalogue()
MACHINES = [
    HostFacts(cpu="of a test", arch=arch, isa=frozenset(flags), cores=4, ram_mb=ram_mb)
    for arch, sets in {
        "x86_64": ({"sse4_2"}, {"avx2"}, {"avx2", "avx_vnni"}),
        "aarch64": ({"asimd"}, {"asimd", "asimddp"}),
        "riscv64": (set(),),
    }.items()
    for flags in sets
    for ram_mb in (400, 900, 3800, 4096, 65_536)
]


@pytest.mark.parametrize(
    ("name", "machine", "found"),
    [
        ("rpi4", ("aarch64", {"asimd"}, 3800), None),
        ("rpi4", ("x86_64", {"avx2"}, 900), HardwareDifference("architecture", "aarch64", "x86_64")),
        ("rpi4", ("aarch64", {"i8mm"}, 900), HardwareDifference("instruction set", "arm-neon", "arm-dotprod")),
        ("rpi4", ("aarch64", {"asimd"}, 900), HardwareDifference("memory", "4096 MB", "900 MB")),
        ("rpi4", ("aarch64", {"asimd"}, 65_536), None),
        ("generic-arm-neon", ("aarch64", {"asimd"}, 400), None),
    ],
)
def test_the_first_aspect_that_differs_is_told(
    name: str, machine: tuple[str, set[str], int], found: HardwareDifference | None
) -> None:
    assert difference(CATALOGUE.hardware[name], *machine) == found


@pytest.mark.parametrize("name", sorted(CATALOGUE.hardware))
def test_the_device_and_the_controller_agree_on_every_machine(name: str) -> None:
    hardware = CATALOGUE.hardware[name]
    verdicts = set()
    for host in MACHINES:
        said = {"arch": host.arch, "isa": host.isa, "cores": host.cores, "ram_mb": host.ram_mb}
        facts = Facts(hardware=name, region="eu", link="lte", **said)
        shared = {"incarnation": "0" * 32, "online": True, "last_seen_ms": 1, "first_seen_ms": 1}
        device = DeviceRecord(id="d", status="accepted", reported=report_with(facts=facts), **shared)
        on_the_device = bool(is_false(hardware, host) or differs(hardware, host))
        assert on_the_device == bool(unlike(device, CATALOGUE)), host
        verdicts.add(on_the_device)
    assert verdicts == {True, False}
