"""The blocks of details: one small function each, in the order of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from grmu_audit.evidence.sign_offs import SIGN_OFF_ROLES
from grmu_audit.metrics.catalog import Topic, topic
from grmu_audit.metrics.catalog.wording import REPORT_STYLE, confidence_text
from grmu_audit.records import SUPPRESSED_BELOW, Audit, ModelRef
from grmu_audit.report.content import curve_data, tables
from grmu_audit.report.content.fact_lists import FactList, model_card
from grmu_audit.report.content.lookup import Lookup, mapping_of, model_label
from grmu_audit.report.content.series import history_table
from grmu_audit.report.content.view_model import VIEW_VERSION, Block, Card, Figure, Table
from grmu_audit.report.wording import numbers
from grmu_audit.report.wording.names import safe_sentence
from grmu_audit.report.wording.strings import Strings
from grmu_audit.utils import canonical_json, sha256_hex

_REQUEST = ("request_id", "subject", "received_at", "identity_check", "ground", "scope", "due_at", "answered_at")
_FORGET = ("found", "not_found", "duplicates", "already_absent", "overlap")
_SYSTEMS = ("training_store", "caches", "checkpoints", "backups", "derived_models")
_METHOD = ("guarantee", "device", "determinism", "seconds", "sample_gradients", "resources", "known_limits")
_TELLING = ("sample_gradients", "resources")
"""What tells how many rows were read."""
_DECISION = ("residual_risk", "current_champion", "next_champion", "rollback_target")
_SIGN_OFF = (*SIGN_OFF_ROLES, "signature")
_RECORD = ("supersedes", "keep_until", "lock_sha256")


def build_blocks(found: Lookup, digest: str, strings: Strings) -> list[Block]:
    """All blocks; ``digest`` is the SHA-256 of the audit in canonical form."""
    makers: tuple[Callable[[Lookup, Strings], Block | None], ...] = (
        _request,
        _forget_set,
        _systems,
        _models,
        _data,
        _method,
        _utility,
        _forgetting,
        _robustness,
        _other,
        _quality,
        _decision,
        _sign_off,
    )
    made = (maker(found, strings) for maker in makers)
    return [*(block for block in made if block is not None), _record(found, digest, strings)]


def _request(found: Lookup, strings: Strings) -> Block:
    recorded = FactList(strings)
    request = {**found.audit.forget.request, **_picked(found.after, ("answered_at",))}
    recorded.add_from(request, _REQUEST)
    recorded.add_others(request, (*_REQUEST, *_FORGET, "systems", "groups", "request_ids"))
    return recorded.block("request")


def _forget_set(found: Lookup, strings: Strings) -> Block:
    recorded, forget = FactList(strings), found.audit.forget
    recorded.add("rows", numbers.count_text(forget.count))
    recorded.add("digest", forget.digest)
    recorded.facts[-1:] = [{**recorded.facts[-1], "kind": "code"}] if forget.digest else recorded.facts[-1:]
    recorded.add("dominant_groups", found.group_names(forget.dominant_groups))
    recorded.add_from(forget.request, _FORGET)
    note = strings.text("external_note" if found.audit.external else "suppression_note", k=SUPPRESSED_BELOW)
    figures = _figures(recorded, {"composition": tables.composition_table(found, strings)})
    return recorded.block("forget_set", figures=figures, notes=[note])


def _systems(found: Lookup, strings: Strings) -> Block:
    recorded = FactList(strings)
    systems = mapping_of(found.audit.forget.request.get("systems")) or mapping_of(found.audit.record.get("systems"))
    systems = {key.strip().lower().replace(" ", "_"): value for key, value in systems.items()}
    recorded.add_from(systems, _SYSTEMS)
    recorded.add_others(systems, _SYSTEMS)
    origin = found.audit.baseline
    recorded.add("pretrain", strings.text("pretrain_text", model=model_label(origin)) if origin else None)
    return recorded.block("systems")


def _models(found: Lookup, strings: Strings) -> Block:
    audit = found.audit
    cards: list[Card] = [model_card(strings.text("models.candidate"), audit.subject, strings)]
    if audit.baseline is not None:
        cards.append(model_card(strings.text("models.baseline"), audit.baseline, strings))
    for index, model in enumerate(audit.references):
        suffix = f" #{index + 1}" if len(audit.references) > 1 else ""
        cards.append(model_card(strings.text("models.reference") + suffix, model, strings))
    if audit.root is not None:
        cards.append(model_card(strings.text("models.root"), audit.root, strings))
    recorded = FactList(strings)
    if audit.root is None and audit.baseline is not None and audit.baseline.parent:
        recorded.missing.append(strings.text("models.root"))
    if audit.baseline is None:
        recorded.missing.append(strings.text("models.baseline"))
    if not audit.references:
        recorded.missing.append(strings.text("models.reference"))
    lineage = history_table(found, strings)
    figures = [Figure(chart="lineage", table=lineage)] if lineage["rows"] else []
    return recorded.block("models", cards=cards, figures=figures)


def _data(found: Lookup, strings: Strings) -> Block:
    recorded, data = FactList(strings), found.audit.data
    recorded.add("name", data.name)
    recorded.add("source", data.source)
    recorded.add("data_manifest", data.manifest_sha256)
    recorded.add("split_sizes", _split_sizes(found, strings))
    recorded.add("classes", list(data.class_names))
    recorded.add("attributes", list(data.attribute_names))
    recorded.add("attribute_provenance", data.attribute_provenance)
    recorded.add("excluded", numbers.count_text(data.excluded))
    recorded.add("special_category", found.audit.record.get("special_category"))
    left_out = strings.text("people_left_out", count=numbers.count_text(data.excluded)) if data.excluded else ""
    return recorded.block("data", tables=[tables.smallest_groups(found, strings)], notes=[left_out])


def _split_sizes(found: Lookup, strings: Strings) -> dict[str, str]:
    hidden = strings.text("hidden_complement")
    return {part: found.count_text(part, count, hidden) for part, count in found.audit.data.splits.items()}


def _method(found: Lookup, strings: Strings) -> Block:
    recorded, model = FactList(strings), found.audit.subject
    recorded.add("method", model.method)
    recorded.add("reweight", model.reweight if model.method else None)
    recorded.add("seed", model.seed)
    hardware = mapping_of(model.config.get("hardware"))
    known = {
        "guarantee": _guarantee(found, strings),
        "device": hardware.get("device"),
        "determinism": hardware.get("deterministic"),
    }
    secret = {} if found.counts_tell("forget") else dict.fromkeys(_TELLING, strings.text("hidden_complement"))
    recorded.add_from({**known, **model.config, **secret}, _METHOD)
    recorded.add("cost", secret.get("sample_gradients") or _cost(found, strings))
    rest = {key: value for key, value in model.config.items() if key not in _METHOD}
    if not rest:
        recorded.add("hyper_parameters", None)
    recorded.add_others(rest, ())
    figures = _figures(recorded, {"training": curve_data.training_table(found, strings)})
    return recorded.block("method", figures=figures)


def _guarantee(found: Lookup, strings: Strings) -> str | None:
    """What is known of the version by the way in which it was created."""
    model, exact = found.audit.subject, found.audit.exact
    if exact is not None:
        return strings.text(f"guarantees.{'exact' if exact.verified else 'not_verified'}", reason=safe_sentence(exact.reason))
    return _certified(model, strings) or (strings.get(f"guarantees.{model.role}", "") if model.method else None)


def _certified(model: ModelRef, strings: Strings) -> str:
    """The bound of a certified removal; empty for any other version."""
    found = mapping_of(model.config.get("certified"))
    values = [numbers.finite_number(found.get(name)) for name in ("epsilon", "delta", "gradient_norm_bound", "epsilon_allowed")]
    if model.method != "certified" or None in values:
        return ""
    epsilon, delta, bound, allowed = (f"{value:.3g}" for value in values)
    return strings.text("guarantees.certified", epsilon=epsilon, delta=delta, bound=bound, allowed=allowed)


def _cost(found: Lookup, strings: Strings) -> str | None:
    """Sample-gradients, and processor time where known, as shares of those of the first reference that recorded them."""
    own, seconds = _spent(found.audit.subject)
    for model in found.audit.references:
        theirs, others = _spent(model)
        if own is not None and theirs:
            text = strings.text("cost_text", share=REPORT_STYLE.percent(own / theirs), reference=model_label(model))
            if seconds is not None and others:
                text += strings.text("cost_seconds", share=REPORT_STYLE.percent(seconds / others))
            return text
    return None


def _spent(model: ModelRef) -> tuple[float | None, float | None]:
    """Sample-gradients and processor seconds of a version; None where they are not recorded."""
    values = model.config.get("sample_gradients"), mapping_of(model.config.get("resources")).get("processor_seconds")
    one, two = (float(value) if isinstance(value, int | float) and value >= 0 else None for value in values)
    return one, two


def _figures(recorded: FactList, numbered: dict[str, Table]) -> list[Figure]:
    """A figure for each table that holds anything; the others are named as not recorded."""
    figures = [Figure(chart=key, table=table) for key, table in numbered.items() if table["rows"]]
    recorded.missing += [recorded.strings.text(f"charts.{key}.title") for key, table in numbered.items() if not table["rows"]]
    return figures


def _metric_tables(found: Lookup, about: Topic, strings: Strings) -> list[Table]:
    metrics = [metric for metric in found.metric_names if topic(metric) is about]
    return [tables.metric_table(found, metrics, strings), tables.glossary_table(metrics, strings)] if metrics else []


def _utility(found: Lookup, strings: Strings) -> Block:
    made = [*_metric_tables(found, Topic.UTILITY, strings), tables.segment_table(found, strings)]
    notes = [] if made[-1]["rows"] else [tables.segment_words(found, strings)]
    return FactList(strings).block("utility", tables=made, notes=notes)


def _forgetting(found: Lookup, strings: Strings) -> Block:
    recorded = FactList(strings)
    numbered = {"losses": curve_data.losses_table(found, strings), "roc": curve_data.roc_table(found, strings)}
    numbered["return"] = curve_data.return_table(found, strings)
    figures = _figures(recorded, numbered)
    return recorded.block("forgetting", figures=figures, tables=_metric_tables(found, Topic.FORGETTING, strings))


def _robustness(found: Lookup, strings: Strings) -> Block:
    recorded = FactList(strings)
    numbered = {"layers": curve_data.layers_table(found, strings), "radius": curve_data.radius_table(found, strings)}
    figures = _figures(recorded, numbered)
    return recorded.block("robustness", figures=figures, tables=_metric_tables(found, Topic.ROBUSTNESS, strings))


def _other(found: Lookup, strings: Strings) -> Block | None:
    """Metrics of no topic above; None where there is none."""
    listed = _metric_tables(found, Topic.OTHER, strings)
    return FactList(strings).block("other", tables=listed) if listed else None


def _quality(found: Lookup, strings: Strings) -> Block:
    recorded, report = FactList(strings), found.audit.data_quality
    if report is None:
        return recorded.block("quality")
    unmet = [check for check in report.results if not check.passed]
    warned = sum(check.severity == "warning" for check in unmet)
    key = "summary_passed" if report.passed else "summary_failed"
    recorded.add("results", strings.text(f"quality.{key}", count=len(report.results), failed=len(unmet) - warned, warned=warned))
    recorded.add("engine", report.engine)
    recorded.add("suite_sha256", report.suite_sha256)
    figures = _figures(recorded, {"shift": tables.shift_table(found, strings)})
    return recorded.block("quality", figures=figures, tables=[tables.quality_table(found, strings)])


def _decision(found: Lookup, strings: Strings) -> Block:
    recorded, verdict = FactList(strings), found.audit.verdict
    recorded.add("policy", verdict.policy_label if verdict else None)
    recorded.add("policy_sha256", verdict.policy_sha256 if verdict else None)
    recorded.add("confidence", confidence_text(verdict.confidence) if verdict else None)
    recorded.add("multiplicity", verdict.multiplicity if verdict else None)
    recorded.add("minimum_group_size", verdict.minimum_group_size if verdict else None)
    recorded.add("waivers", [safe_sentence(numbers.value_text(waiver)) for waiver in verdict.waivers] if verdict else None)
    recorded.add_from({**found.audit.record, **_picked(found.after, _DECISION)}, _DECISION)
    return recorded.block("decision")


def _sign_off(found: Lookup, strings: Strings) -> Block:
    recorded = FactList(strings)
    recorded.add_from(mapping_of(found.after.get("sign_off")) or mapping_of(found.audit.record.get("sign_off")), _SIGN_OFF)
    return recorded.block("sign_off")


def _record(found: Lookup, digest: str, strings: Strings) -> Block:
    recorded, audit = FactList(strings), found.audit
    recorded.add("report_id", report_id(digest))
    recorded.add("audit_sha256", digest)
    recorded.add("verify", strings.text("verify_text"))
    recorded.add("schema", audit.schema)
    recorded.add("view_version", VIEW_VERSION)
    recorded.add_from(audit.record, ("created", *_RECORD))
    recorded.add_others(audit.record, ("created", *_RECORD, *_DECISION, "sign_off", "systems", "special_category"))
    return recorded.block("record")


def report_id(digest: str) -> str:
    """Name of a report: the first 12 hex digits of its audit's digest."""
    return digest[:12]


def audit_digest(audit: Audit) -> str:
    """SHA-256 of the audit in canonical form."""
    return sha256_hex(canonical_json(audit.to_json()))


def _picked(source: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: source[key] for key in keys if key in source}
