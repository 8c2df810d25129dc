"""How the API shows records."""

from collections.abc import Iterable, Sequence

from edgefleet_compression.measures import measure_named
from edgefleet_compression.pricing.explain import Flip
from edgefleet_compression.pricing.unjudged import unjudged
from edgefleet_compression.pricing.verdicts import Verdict
from edgefleet_contract.alerts import AlertRecord
from edgefleet_contract.choices import BrokenView, ChoiceView, ExplanationView, FlipView, OfferView
from edgefleet_contract.devices import ConflictRecord, DeviceModelView, DeviceView
from edgefleet_contract.measures import MeasureView
from edgefleet_contract.models import ModelView
from edgefleet_contract.readings import KeptStateView, ModelReading, TensorView
from edgefleet_contract.rollouts import ReturnView, RolloutView, WaveRecord, WaveView
from edgefleet_contract.telemetry import TelemetryGroup, TelemetryView
from edgefleet_contract.variants import VariantView
from edgefleet_controller.models.explaining import Explained
from edgefleet_controller.records import ChoiceRecord, DeviceRecord, ModelRecord, RolloutRecord, VariantRecord
from edgefleet_controller.rollouts.fetching import fetching
from edgefleet_controller.rollouts.starting import standing, waits_for
from edgefleet_controller.rollouts.watching import watched_until_ms
from edgefleet_controller.store.contract.aggregates import Aggregate
from edgefleet_controller.store.contract.rollouts import IN_PROGRESS, DownloadSoFar
from edgefleet_profiles.parts import CHUNK_BYTES
from edgefleet_protocol.counters import COUNTS


def model_view(record: ModelRecord) -> ModelView:
    """Show a record."""
    reading = record.reading
    return ModelView(
        model=record.ref,
        name=record.name,
        version=record.version,
        task=record.task,
        measure=measure_named(record.task),
        labels=list(record.card.labels),
        files=record.files,
        created_ms=record.created_ms,
        inputs=tuple(map(TensorView.of, reading.signature.inputs)) if reading else (),
        outputs=tuple(map(TensorView.of, reading.signature.outputs)) if reading else (),
        state=_state(reading) if reading else (),
        guesses=reading.guesses if reading else (),
        unjudged=unjudged(record.card.constraints),
    )


def _state(reading: ModelReading) -> tuple[KeptStateView, ...]:
    pairs = reading.state.pairs if reading.state else ()
    return tuple(KeptStateView(input=pair.given, output=pair.gives) for pair in pairs)


def variant_view(record: VariantRecord) -> VariantView:
    """Show a record; `delivery_bytes` is for an ordinary link."""
    metrics = record.metrics
    return VariantView(
        id=record.id,
        model=f"{record.model}@{record.version}",
        recipe=record.recipe,
        title=record.title,
        instruction_sets=list(record.instruction_sets),
        measure=metrics.measure,
        score=metrics.score_test,
        score_ci=metrics.score_test_ci,
        score_val=metrics.score_val,
        headlined=metrics.headlined,
        headline=metrics.headline_test,
        headline_val=metrics.headline_val,
        accuracy=metrics.accuracy_test,
        accuracy_ci=list(metrics.accuracy_test_ci) if metrics.accuracy_test_ci else None,
        accuracy_val=metrics.accuracy_val,
        test_samples=metrics.test_samples,
        agreement=metrics.agreement,
        agreement_val=metrics.agreement_val,
        p50_ms=metrics.p50_ms,
        p95_ms=metrics.p95_ms,
        latency_ratio=metrics.latency_ratio,
        measured_on=metrics.measured_on,
        parameters=metrics.parameters,
        file_bytes=metrics.file_bytes,
        encoding_bytes=metrics.encoding_bytes,
        delivery_bytes=record.delivery_bytes[CHUNK_BYTES],
        peak_rss_mb=metrics.peak_rss_mb,
        mj_per_inference=metrics.mj_per_inference,
        manifest=record.manifest,
        runtime=record.runtime,
        steps=record.steps,
        lineage=record.lineage,
        needs=list(record.needs),
        golden=record.golden,
    )


def choice_view(record: ChoiceRecord, variants: Iterable[str]) -> ChoiceView:
    """Show a record; `variants` are the ids of all of the model."""
    return ChoiceView(
        profile=record.profile,
        variant=record.variant,
        reasons=record.reasons,
        not_considered=[variant for variant in variants if variant not in record.reasons],
    )


def device_view(
    record: DeviceRecord,
    generations: dict[str, int],
    labels: dict[str, str],
    device_class: str | None,
    *,
    conflict: ConflictRecord | None,
    lost_windows: int,
    unlike: tuple[str, ...] = (),
) -> DeviceView:
    """Show a record together with the device's desired generations."""
    said = record.reported
    return DeviceView(
        id=record.id,
        status=record.status,
        added_as=record.added_as,
        profile=record.profile,
        region=said.facts.region,
        hardware=said.facts.hardware,
        link=said.facts.link,
        device_class=device_class,
        simulated=said.facts.simulated,
        online=record.online,
        first_seen_ms=record.first_seen_ms,
        last_seen_ms=record.last_seen_ms,
        incarnation=record.incarnation,
        conflict=conflict,
        unlike=unlike,
        lost_windows=lost_windows,
        labels=labels,
        set_labels=record.annotation.labels,
        reported_labels=said.labels,
        note=record.annotation.note,
        boot=said.boot,
        agent_version=said.agent_version,
        features=sorted(said.features),
        endpoint=said.endpoint,
        measured_kbps=said.measured_kbps,
        facts=said.facts,
        host_facts=said.host_facts,
        models={
            name: DeviceModelView(
                generation=model.generation,
                desired_generation=generations.get(name),
                answering=model.answering,
                slots=list(model.slots),
                attempt=model.attempt,
                lost=model.lost,
            )
            for name, model in said.models.items()
        },
        spooled_windows=said.spooled_windows,
        dropped_windows=said.dropped_windows,
        set_aside=said.set_aside,
        disk_trouble=said.disk_trouble,
    )


def rollout_view(
    record: RolloutRecord,
    counts: dict[int, dict[str, int]],
    back: dict[str, int],
    returns: list[ReturnView],
    alerts: list[AlertRecord],
    downloads: Sequence[DownloadSoFar] = (),
) -> RolloutView:
    """Show a record with the phases of its executions and rollbacks, where these lead, its alerts and downloads."""
    total: dict[str, int] = {}
    for of_wave in counts.values():
        for phase, count in of_wave.items():
            total[phase] = total.get(phase, 0) + count
    spec = record.spec
    return RolloutView(
        id=record.id,
        model=f"{spec.model}@{spec.version}",
        segment=spec.segment,
        selector=spec.selector,
        state=record.state,
        reason=record.reason,
        waves=[_wave_view(record, wave, counts.get(wave.number, {}), downloads) for wave in record.waves],
        counts=total,
        counts_back=back,
        returns=returns,
        alerts=tuple(alerts),
        watched_until_ms=watched_until_ms(record),
        spec=spec,
        created_ms=record.created_ms,
        changed_ms=record.changed_ms,
    )


def _wave_view(
    record: RolloutRecord, wave: WaveRecord, counts: dict[str, int], downloads: Iterable[DownloadSoFar]
) -> WaveView:
    waiting = waits_for(wave.state, record.spec.start_share, counts) if record.state == "running" else None
    now = standing(wave.state, counts) if record.state in IN_PROGRESS else None
    return WaveView(
        **{**wave.__dict__, "reason": now or wave.reason},
        counts=counts,
        waits_for=waiting,
        fetching=fetching(one for one in downloads if one.wave == wave.number),
    )


def offer_view(verdict: Verdict, reason: str) -> OfferView:
    """Show a verdict with its reason."""
    candidate, cost = verdict.candidate, verdict.price
    return OfferView(
        variant=candidate.variant,
        recipe=candidate.recipe,
        score_val=candidate.metrics.score_val,
        accuracy_val=candidate.metrics.accuracy_val,
        agreement_val=candidate.metrics.agreement_val,
        delivery_bytes=candidate.delivery_bytes,
        transfer_s=cost.transfer_s,
        transfer_usd=cost.transfer_usd,
        transfer_j=cost.transfer_j,
        usd_per_month=cost.usd_per_month,
        p95_ms=cost.p95_ms,
        p95_is_predicted=cost.p95_is_predicted,
        peak_rss_mb=candidate.metrics.peak_rss_mb,
        inference_mj=cost.inference_mj,
        energy_source=cost.energy_source,
        broken=[BrokenView(constraint=b.constraint, sentence=b.sentence) for b in verdict.broken],
        reason=reason,
    )


def flip_view(flip: Flip) -> FlipView:
    """Show a flip."""
    return FlipView(
        quantity=flip.quantity,
        unit=flip.unit,
        now=flip.now,
        direction=flip.direction,
        at=flip.at,
        variant=flip.winner.variant if flip.winner else None,
        sentence=flip.sentence,
    )


def explanation_view(model: str, explained: Explained) -> ExplanationView:
    """Show an explanation."""
    found = explained.explanation
    situation = found.situation

    def offer(verdict: Verdict | None) -> OfferView | None:
        return None if verdict is None else offer_view(verdict, found.reasons[verdict.candidate.variant])

    return ExplanationView(
        model=model,
        profile=str(situation.profile),
        constraints=situation.asked(),
        measure=situation.measure,
        source_score=situation.source_score,
        source_accuracy=situation.source_score if situation.measure.is_accuracy else None,
        winner=offer(found.winner),
        runner_up=offer(found.runner_up),
        candidates=[offer_view(v, found.reasons[v.candidate.variant]) for v in situation.verdicts()],
        flips=[flip_view(flip) for flip in found.flips],
        preferences={prefer: c.variant if c else None for prefer, c in found.preferences.items()},
        made_for_others=explained.made_for_others,
    )


def telemetry_view(merged: Aggregate, measure: MeasureView | None) -> TelemetryView:
    """Show merged telemetry; `measure` is what its scores are by, None if they cannot be told together."""
    serving, scored, unchecked = merged.counters.serving, merged.counters.scored, merged.counters.unchecked
    return TelemetryView(
        group=TelemetryGroup.model_validate(merged.group),
        bucket_ms=merged.bucket_ms,
        windows=merged.windows,
        **{name: getattr(serving, name) for name in COUNTS},
        p50_ms=serving.latency.percentile_ms(50),
        p95_ms=serving.latency.percentile_ms(95),
        p99_ms=serving.latency.percentile_ms(99),
        labelled=scored.n,
        correct=scored.hits,
        measure=measure,
        score=scored.mean if measure else None,
        accuracy=scored.mean if measure and measure.is_accuracy else None,
        unchecked_labels=unchecked.n,
        predicted=merged.counters.categories,
    )
