"""Which form of a variant's manifest a device is given: pure."""

from collections.abc import Collection, Mapping, Sequence

from edgefleet_controller.records import ManifestForm
from edgefleet_protocol.features import lacking


def fitting(forms: Sequence[ManifestForm], features: Collection[str], held: str | None = None) -> ManifestForm | None:
    """The form that an agent with these features obeys; None if it obeys none.

    Args:
        forms: of one variant's manifest, the newest first.
        features: the agent's.
        held: the digest of the form that the device has, perhaps; that is preferred, for another is a download.
    """
    able = [form for form in forms if not lacking(form.needs, features)]
    return next((form for form in able if form.manifest == held), able[0] if able else None)


def missing(
    known: Mapping[str, Sequence[ManifestForm]], manifest: str | None, features: Collection[str]
) -> tuple[str, ...]:
    """The features that an agent lacks for a manifest; none for one that is unknown."""
    form = next((form for form in known.get(manifest or "", ()) if form.manifest == manifest), None)
    return lacking(form.needs, features) if form else ()


def agent_lacks(features: Sequence[str]) -> str:
    """The reason to defer a device whose agent lacks features that its variant needs."""
    return f"its agent lacks {', '.join(features)}, which the variant needs: upgrade the agent"
