"""Gemma 3 and MedGemma: config.json and the tensors' names, in every spelling that transformers has used.

Letters of the layouts: V vocabulary, D model, F hidden, N query heads, K key heads, H head size; of the vision tower
E model, C channels, P and Q rows and columns of a patch, T patches.
"""

import math
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

from reeval.hf.fields import Fields
from reeval.hf.layout import Entry
from reeval.models.gemma3 import Gemma3Config, Rope
from reeval.models.medgemma import MedGemmaConfig
from reeval.models.siglip import SiglipConfig

_LAYER = (
    ("attn_norm.scale", "input_layernorm", "D->D"),
    ("attn.q.w", "self_attn.q_proj", "(NH)D->DNH"),
    ("attn.k.w", "self_attn.k_proj", "(KH)D->DKH"),
    ("attn.v.w", "self_attn.v_proj", "(KH)D->DKH"),
    ("attn.q_norm.scale", "self_attn.q_norm", "H->H"),
    ("attn.k_norm.scale", "self_attn.k_norm", "H->H"),
    ("attn.o.w", "self_attn.o_proj", "D(NH)->NHD"),
    ("post_attn_norm.scale", "post_attention_layernorm", "D->D"),
    ("mlp_norm.scale", "pre_feedforward_layernorm", "D->D"),
    ("mlp.gate.w", "mlp.gate_proj", "FD->DF"),
    ("mlp.up.w", "mlp.up_proj", "FD->DF"),
    ("mlp.down.w", "mlp.down_proj", "DF->FD"),
    ("post_mlp_norm.scale", "post_feedforward_layernorm", "D->D"),
)
_VISION_LAYER = (
    ("attn_norm.scale", "layer_norm1.weight", "E->E"),
    ("attn_norm.bias", "layer_norm1.bias", "E->E"),
    *((f"attn.{ours}.w", f"self_attn.{ours}_proj.weight", "(NH)E->ENH") for ours in "qkv"),
    *((f"attn.{ours}.bias", f"self_attn.{ours}_proj.bias", "(NH)->NH") for ours in "qkv"),
    ("attn.o.w", "self_attn.out_proj.weight", "E(NH)->NHE"),
    ("attn.o.bias", "self_attn.out_proj.bias", "E->E"),
    ("mlp_norm.scale", "layer_norm2.weight", "E->E"),
    ("mlp_norm.bias", "layer_norm2.bias", "E->E"),
    ("up.w", "mlp.fc1.weight", "FE->EF"),
    ("up.bias", "mlp.fc1.bias", "F->F"),
    ("down.w", "mlp.fc2.weight", "EF->FE"),
    ("down.bias", "mlp.fc2.bias", "E->E"),
)
_TOWER = "model.vision_tower"


def _decoder(prefix: str) -> tuple[Entry, ...]:
    return (
        Entry("embed.embedding", f"{prefix}embed_tokens.weight", "VD->VD"),
        *(Entry(f"layers.{path}", f"{prefix}layers.{{layer}}.{name}.weight", layout) for path, name, layout in _LAYER),
        Entry("final_norm.scale", f"{prefix}norm.weight", "D->D"),
    )


_VISION = (
    Entry("vision.patch.w", f"{_TOWER}.embeddings.patch_embedding.weight", "ECPQ->CPQE"),
    Entry("vision.patch.bias", f"{_TOWER}.embeddings.patch_embedding.bias", "E->E"),
    Entry("vision.position", f"{_TOWER}.embeddings.position_embedding.weight", "TE->TE"),
    *(
        Entry(f"vision.layers.{path}", f"{_TOWER}.encoder.layers.{{layer}}.{name}", layout)
        for path, name, layout in _VISION_LAYER
    ),
    Entry("vision.final_norm.scale", f"{_TOWER}.post_layernorm.weight", "E->E"),
    Entry("vision.final_norm.bias", f"{_TOWER}.post_layernorm.bias", "E->E"),
    Entry("projector.norm.scale", "model.multi_modal_projector.mm_soft_emb_norm.weight", "E->E"),
    Entry("projector.w", "model.multi_modal_projector.mm_input_projection_weight", "ED->ED"),
)

HEAD = Entry("head.w", "lm_head.weight", "VD->DV")
# All of it, for a head that is not tied: names as current transformers' modules have them.
TABLE = (*_decoder("model.language_model."), *_VISION, HEAD)

# The same prefixes in files: as modules are named; as transformers saves, 5 and then 4; of a decoder alone.
SPELLINGS = (
    (f"{_TOWER}.vision_model.", f"{_TOWER}.", "vision_tower.vision_model.", "vision_tower."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("lm_head.", "language_model.lm_head."),
    ("model.language_model.", "language_model.model.", "model."),
)
# The tower's pooling head, which some checkpoints hold and this architecture never calls.
UNUSED = r"(?:model\.)?vision_tower\.(?:vision_model\.)?head\..*"

_TEXT = {
    "vocab_size": "vocab_size",
    "hidden_size": "d_model",
    "intermediate_size": "hidden",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "head_dim",
}
# What transformers assumes where config.json is silent: Google's own files leave much out.
_TEXT_DEFAULTS = {
    "vocab_size": 262208,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
}
_TOWER_SIZES = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "num_channels": "channels",
    "hidden_size": "d_model",
    "intermediate_size": "hidden",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
}
_TOWER_DEFAULTS = {
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}
_LOCAL, _GLOBAL = "sliding_attention", "full_attention"
_GELU = "gelu_pytorch_tanh"


def table(config: Gemma3Config) -> tuple[Entry, ...]:
    """The names of the tensors of a model of this config, as current transformers' modules have them."""
    parts = TABLE if isinstance(config, MedGemmaConfig) else (*_decoder("model."), HEAD)
    return tuple(entry for entry in parts if not (config.tied and entry is HEAD))


def saved_as(config: Gemma3Config) -> tuple[str, ...]:
    """Modules' names in the spelling to write a model made here in: the one that every reader knows."""
    if not isinstance(config, MedGemmaConfig):
        return ()
    return (
        "language_model.model.embed_tokens",
        "vision_tower.vision_model.post_layernorm",
        "multi_modal_projector.mm_soft_emb_norm",
    )


def read_config(raw: Mapping[str, Any]) -> Gemma3Config:
    """The config of a parsed config.json, with transformers' defaults for what that leaves out.

    Returns:
        a MedGemmaConfig for `gemma3`, a Gemma3Config for `gemma3_text`.
    Raises:
        ValueError: naming every field that is missing, wrong, or says what the port cannot express.
    """
    fields = Fields(raw)
    if raw.get("model_type") == "gemma3_text":
        decoder = _read_text(fields, raw)
        fields.check()
        return Gemma3Config(**decoder)
    text = fields.within_object("text_config")
    if (kind := text.raw.get("model_type", "gemma3_text")) != "gemma3_text":
        text.refuse(True, f"model_type {short(kind)} is not supported, only 'gemma3_text'")
    decoder = _read_text(text, raw)
    vision = _read_vision(fields.within_object("vision_config"))
    tokens = fields.size("mm_tokens_per_image", 256)
    image_token = fields.size("image_token_id" if "image_token_id" in raw else "image_token_index", 262144)
    side = math.isqrt(tokens)
    fields.refuse(side**2 != tokens, f"mm_tokens_per_image is no square: {tokens}")
    if not fields.problems:
        pooled = vision.grid // max(1, vision.grid // side)
        fields.refuse(pooled != side, f"a grid of {vision.grid} patches does not pool to {side} along a side")
    fields.check()
    return MedGemmaConfig(**decoder, vision=vision, tokens_per_image=tokens, image_token=image_token)


def _read_text(fields: Fields, whole: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Gemma3Config; whether the head is tied stands in the whole file's outermost object."""
    raw = fields.raw
    sizes = fields.sizes(_TEXT, _TEXT_DEFAULTS)
    if not fields.problems:
        fields.refuse(sizes["head_dim"] % 2, "head_dim is odd")
        odd = sizes["num_heads"] % sizes["num_kv_heads"]
        fields.refuse(odd, "num_attention_heads is no multiple of num_key_value_heads")
    if (act := raw.get("hidden_activation", _GELU)) != _GELU:
        fields.refuse(True, f"hidden_activation {short(act)} is not supported, only {_GELU!r}")
    for name in ("attention_bias", "attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"):
        fields.refuse(raw.get(name), f"{name} is not supported")
    local_rope, global_rope = _read_ropes(fields)
    return {
        **sizes,
        "norm_eps": fields.number("rms_norm_eps", 1e-6),
        "tied": bool(whole.get("tie_word_embeddings", True)),
        "query_scale": fields.number("query_pre_attn_scalar", 256) ** -0.5,
        "windows": _read_windows(fields, sizes["num_layers"]),
        "local_rope": local_rope,
        "global_rope": global_rope,
    }


def _read_windows(fields: Fields, layers: int) -> tuple[int | None, ...]:
    kinds = fields.raw.get("layer_types")
    if kinds is None:
        period = fields.size("sliding_window_pattern", 6)
        kinds = [_LOCAL if (n + 1) % period else _GLOBAL for n in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers or not set(map(str, kinds)) <= {_LOCAL, _GLOBAL}:
        fields.refuse(True, f"layer_types is no list of {layers} times {_LOCAL} or {_GLOBAL}")
        return ()
    window = fields.size("sliding_window", 4096) if _LOCAL in kinds else None
    return tuple(window if kind == _LOCAL else None for kind in kinds)


def _read_ropes(fields: Fields) -> tuple[Rope, Rope]:
    """Of local and global layers. transformers 4 has three fields for them; 5 has `rope_parameters`, by layer type."""
    both = fields.within_object("rope_parameters")
    if both.raw and not both.raw.keys() <= {_LOCAL, _GLOBAL}:
        fields.refuse(True, f"rope_parameters is not by {_LOCAL} and {_GLOBAL}")
    of_local, of_global = both.within_object(_LOCAL), both.within_object(_GLOBAL)
    scaling = fields.within_object("rope_scaling")
    of_global.raw = {**of_global.raw, **scaling.raw}
    ropes = []
    for part, name, theta in ((of_local, "rope_local_base_freq", 1e4), (of_global, "rope_theta", 1e6)):
        outer = fields.number(name, theta)
        kind = part.raw.get("rope_type", part.raw.get("type", "default"))
        if kind not in ("default", "linear"):
            part.refuse(True, f"rope_type {short(kind)} is not supported, only 'default' and 'linear'")
        part.refuse(part.raw.get("partial_rotary_factor") not in (None, 1, 1.0), "partial_rotary_factor is not 1")
        if kind == "linear" and "factor" not in part.raw:
            part.refuse(True, "factor is missing")
        ropes.append(Rope(part.number("rope_theta", outer), part.number("factor", 1.0) if kind == "linear" else 1.0))
    return ropes[0], ropes[1]


def _write_ropes(local_rope: Rope, global_rope: Rope) -> dict[str, Any]:
    def scaling(rope: Rope) -> dict[str, Any]:
        return {"rope_type": "linear", "factor": rope.factor} if rope.factor != 1.0 else {"rope_type": "default"}

    if local_rope.factor != 1.0:  # which transformers 4 has no field for
        ropes = {_LOCAL: local_rope, _GLOBAL: global_rope}
        return {"rope_parameters": {kind: {"rope_theta": rope.theta} | scaling(rope) for kind, rope in ropes.items()}}
    return {
        "rope_theta": global_rope.theta,
        "rope_local_base_freq": local_rope.theta,
        "rope_scaling": scaling(global_rope) if global_rope.factor != 1.0 else None,
    }


def _read_vision(fields: Fields) -> SiglipConfig:
    raw = fields.raw
    kind, act = raw.get("model_type", "siglip_vision_model"), raw.get("hidden_act", _GELU)
    if kind != "siglip_vision_model":
        fields.refuse(True, f"model_type {short(kind)} is not supported, only 'siglip_vision_model'")
    if act != _GELU:
        fields.refuse(True, f"hidden_act {short(act)} is not supported, only {_GELU!r}")
    vision = SiglipConfig(
        **fields.sizes(_TOWER_SIZES, _TOWER_DEFAULTS),
        norm_eps=fields.number("layer_norm_eps", 1e-6),
    )
    fields.refuse(vision.d_model % vision.num_heads, "hidden_size is no multiple of num_attention_heads")
    fields.refuse(vision.patch_size > vision.image_size, "patch_size is larger than image_size")
    return vision


def write_config(config: Gemma3Config) -> dict[str, Any]:
    """The config.json of a model made here, in the spelling that transformers 4 and 5 both read, if there is one."""
    windows = {window for window in config.windows if window is not None}
    scalar = config.query_scale**-2
    text = {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        **{name: getattr(config, ours) for name, ours in _TEXT.items()},
        "hidden_activation": _GELU,
        "rms_norm_eps": config.norm_eps,
        **_write_ropes(config.local_rope, config.global_rope),
        "query_pre_attn_scalar": round(scalar) if math.isclose(scalar, round(scalar), rel_tol=1e-9) else scalar,
        "sliding_window": min(windows, default=4096),
        "layer_types": [_GLOBAL if window is None else _LOCAL for window in config.windows],
        "tie_word_embeddings": config.tied,
        "attention_bias": False,
        "attention_dropout": 0.0,
    }
    if not isinstance(config, MedGemmaConfig):
        return text
    tower = {name: getattr(config.vision, ours) for name, ours in _TOWER_SIZES.items()}
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": {name: value for name, value in text.items() if name != "architectures"},
        "vision_config": {
            "model_type": "siglip_vision_model",
            **tower,
            "hidden_act": _GELU,
            "layer_norm_eps": config.vision.norm_eps,
            "vision_use_head": False,
        },
        "mm_tokens_per_image": config.tokens_per_image,
        "image_token_index": config.image_token,
        "tie_word_embeddings": config.tied,
    }
