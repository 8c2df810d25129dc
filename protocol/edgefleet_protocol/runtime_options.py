"""The onnxruntime session entries that a variant may bring; whatever else onnxruntime understands is refused.

They decide how a graph is computed. Entries that name files, choose another parser or record what was asked stay out,
and so do those that an agent sets itself. Names are those of onnxruntime_session_options_config_keys.h; onnxruntime
1.20, the oldest that an agent may have, obeys each of them (it ignores unknown names without a word).

One entry is ours, and no session sees it: `edgefleet.providers`, the execution providers to ask for in order.
"""

import re
from collections.abc import Iterable, Mapping

PROVIDERS = "edgefleet.providers"
_NAMED = re.compile(r"(\w{1,64}ExecutionProvider[\w.]{0,16}(,(?=\w)|$))+")

_SWITCH = frozenset({"0", "1"})
ALLOWED: Mapping[str, frozenset[str]] = {
    "session.disable_double_qdq_remover": _SWITCH,
    "session.disable_prepacking": _SWITCH,
    "session.disable_quant_qdq": _SWITCH,
    "session.dynamic_block_base": frozenset(map(str, range(65))),
    "session.enable_quant_qdq_cleanup": _SWITCH,
    "session.inter_op.allow_spinning": _SWITCH,
    "session.intra_op.allow_spinning": _SWITCH,
    "session.qdq_matmulnbits_accuracy_level": frozenset("01234"),
    "session.qdqisint8allowed": _SWITCH,
    "session.set_denormal_as_zero": _SWITCH,
    "session.x64quantprecision": _SWITCH,
}


def refusal(options: Mapping[str, str]) -> str | None:
    """Why these session entries are refused, and what is allowed; None if they are not."""
    for name, value in options.items():
        if name == PROVIDERS:
            if not _NAMED.fullmatch(value):
                told = "write names such as OpenVINOExecutionProvider,CPUExecutionProvider"
                return f"runtime entry '{name}' is '{value[:100]}': {told}"
            continue
        if name not in ALLOWED:
            return f"runtime entry '{name[:100]}' is not allowed; allowed are {', '.join((*ALLOWED, PROVIDERS))}"
        if value not in ALLOWED[name]:
            values = sorted(ALLOWED[name], key=int)
            return f"runtime entry '{name}' is '{value[:100]}': write a whole number from {values[0]} to {values[-1]}"
    return None


def with_providers(names: Iterable[str]) -> dict[str, str]:
    """The entry that names execution providers, the preferred one first; none without names."""
    told = ",".join(names)
    return {PROVIDERS: told} if told else {}


def providers_in(options: Mapping[str, str]) -> tuple[str, ...]:
    """The execution providers that a variant names, in order; empty if it leaves that to the device."""
    return tuple(filter(None, options.get(PROVIDERS, "").split(",")))


def session_entries(options: Mapping[str, str]) -> dict[str, str]:
    """The entries that are onnxruntime's."""
    return {name: value for name, value in options.items() if name != PROVIDERS}
