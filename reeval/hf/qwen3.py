"""Qwen3: its config.json and its tensors' names, in both directions.

Letters of the layouts: V vocabulary, D model, F hidden, N query heads, K key heads, H head size.
"""

from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

from reeval.hf.fields import Fields
from reeval.hf.layout import Entry
from reeval.models.qwen3 import Qwen3Config

_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "intermediate_size": "hidden",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "head_dim",
}
# What transformers assumes where config.json is silent; of the other sizes we assume nothing.
_SIZE_DEFAULTS = {"num_key_value_heads": 32, "head_dim": 128}

_LAYER = (
    ("attn_norm.scale", "input_layernorm", "D->D"),
    ("attn.q.w", "self_attn.q_proj", "(NH)D->DNH"),
    ("attn.k.w", "self_attn.k_proj", "(KH)D->DKH"),
    ("attn.v.w", "self_attn.v_proj", "(KH)D->DKH"),
    ("attn.q_norm.scale", "self_attn.q_norm", "H->H"),
    ("attn.k_norm.scale", "self_attn.k_norm", "H->H"),
    ("attn.o.w", "self_attn.o_proj", "D(NH)->NHD"),
    ("mlp_norm.scale", "post_attention_layernorm", "D->D"),
    ("mlp.gate.w", "mlp.gate_proj", "FD->DF"),
    ("mlp.up.w", "mlp.up_proj", "FD->DF"),
    ("mlp.down.w", "mlp.down_proj", "DF->FD"),
)

HEAD = Entry("head.w", "lm_head.weight", "VD->DV")
# All of it, for a head that is not tied.
TABLE = (
    Entry("embed.embedding", "model.embed_tokens.weight", "VD->VD"),
    *(Entry(f"layers.{path}", f"model.layers.{{layer}}.{name}.weight", layout) for path, name, layout in _LAYER),
    Entry("final_norm.scale", "model.norm.weight", "D->D"),
    HEAD,
)

SPELLINGS: tuple[tuple[str, ...], ...] = ()
UNUSED = ""


def table(config: Qwen3Config) -> tuple[Entry, ...]:
    """The names of the tensors of a model of this config."""
    return tuple(entry for entry in TABLE if not (config.tied and entry is HEAD))


def saved_as(config: Qwen3Config) -> tuple[str, ...]:
    """There is one spelling."""
    return ()


def read_config(raw: Mapping[str, Any]) -> Qwen3Config:
    """The config of a parsed config.json, with transformers' defaults for what that leaves out.

    Raises:
        ValueError: naming every field that is missing, wrong, or says what the port cannot express.
    """
    fields = Fields(raw)
    if raw.get("num_key_value_heads", 0) is None:
        fields.raw = {**raw, "num_key_value_heads": raw.get("num_attention_heads")}
    sizes = fields.sizes(_SIZES, _SIZE_DEFAULTS)
    # transformers 4 writes `rope_theta` and `rope_scaling`; transformers 5 puts both in `rope_parameters`.
    rope = fields.within_object("rope_scaling" if raw.get("rope_scaling") else "rope_parameters").raw
    theta = fields.number("rope_theta", 10000.0)
    if "rope_theta" in rope:
        theta = Fields(rope, "rope_parameters.", fields.problems).number("rope_theta", 10000.0)
    norm_eps = fields.number("rms_norm_eps", 1e-6)
    if not fields.problems:
        fields.refuse(sizes["head_dim"] % 2, "head_dim is odd")
        odd = sizes["num_heads"] % sizes["num_kv_heads"]
        fields.refuse(odd, "num_attention_heads is no multiple of num_key_value_heads")
    fields.problems += _unsupported(raw, rope)
    fields.check()
    return Qwen3Config(**sizes, rope_theta=theta, norm_eps=norm_eps, tied=bool(raw.get("tie_word_embeddings", False)))


def write_config(config: Qwen3Config) -> dict[str, Any]:
    """The config.json of a model made here, in the spelling that transformers 4 and 5 both read."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        **{name: getattr(config, ours) for name, ours in _SIZES.items()},
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
    }


def _unsupported(raw: Mapping[str, Any], rope: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        found.append(f"rope scaling of type {short(kind)} is not supported")
    if rope.get("partial_rotary_factor", raw.get("partial_rotary_factor", 1.0)) not in (None, 1.0):
        found.append("partial_rotary_factor other than 1 is not supported")
    if (act := raw.get("hidden_act", "silu")) != "silu":
        found.append(f"hidden_act {short(act)} is not supported, only 'silu'")
    if raw.get("attention_bias"):
        found.append("attention_bias is not supported")
    windowed = raw.get("use_sliding_window") and raw.get("sliding_window", 4096) is not None
    if windowed or any(kind != "full_attention" for kind in raw.get("layer_types") or ()):
        found.append("sliding-window attention is not supported")
    return found
