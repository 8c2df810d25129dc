"""Which devices a selector matches; it is compiled once, and each profile is looked up once."""

from collections.abc import Iterable, Mapping

from edgefleet_controller.errors import Invalid
from edgefleet_controller.store.contract.members import Member
from edgefleet_profiles.catalogue import Catalogue
from edgefleet_profiles.errors import ProfileError, SelectorError
from edgefleet_profiles.selector import PROFILE_LABELS, compile_selector, labels_of
from edgefleet_profiles.selector_doubts import doubts, known_labels


class Matcher:
    """A selector over one catalogue.

    Raises:
        Invalid: the selector cannot be parsed.
    """

    def __init__(self, catalogue: Catalogue, selector: str) -> None:
        try:
            self.selector = compile_selector(selector)
        except SelectorError as error:
            raise Invalid(str(error)) from None
        self._catalogue = catalogue
        self._given: dict[str, Mapping[str, str]] = {}

    def matches(self, device: Member) -> bool:
        """Whether the selector matches this device."""
        return self.selector.matches(self.labels(device.profile, device.labels))

    def doubts(self, devices: Iterable[Member]) -> tuple[str, ...]:
        """What in the selector none of all devices has, nor the catalogue: perhaps a slip."""
        profiles = map(str, self._catalogue.profiles())
        return tuple(doubts(self.selector, known_labels(profiles, (self.labels(d.profile, d.labels) for d in devices))))

    def labels(self, profile: str, own: Mapping[str, str]) -> Mapping[str, str]:
        """The labels that selectors see: region, hardware, link, labels derived from them, and the device's own."""
        given = self._given.get(profile)
        if given is None:
            given = self._given[profile] = _labels_of(profile, self._catalogue)
        if not PROFILE_LABELS.isdisjoint(own):
            # A device cannot claim a region other than the one it is priced for.
            own = {key: value for key, value in own.items() if key not in PROFILE_LABELS}
        return {**own, **given}


def _labels_of(profile: str, catalogue: Catalogue) -> Mapping[str, str]:
    try:
        known = catalogue.profile(profile)
    except ProfileError:
        return dict(zip(("region", "hardware", "link"), profile.split("/"), strict=True))
    return labels_of(known.region, known.hardware, known.link)
