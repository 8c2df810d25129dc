"""All public models of the benchmark, by name."""

from benchmarks.models import public_pictures, public_sounds, public_tables, public_texts
from benchmarks.models.public_model import PublicModel

CATALOGUE: dict[str, PublicModel] = {
    model.name: model for part in (public_pictures, public_sounds, public_texts, public_tables) for model in part.MODELS
}
