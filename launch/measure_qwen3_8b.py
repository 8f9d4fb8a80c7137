"""Measures Qwen3-8B at its real size with random weights on one GPU, beside transformers + PEFT in the same run.

    python launch/measure_qwen3_8b.py WORKDIR [--layers 36]

Parity of bfloat16 logits, LoRA training and greedy decoding. Each framework runs in a process of its own, one after
the other, over the same weights and tokens. Needs torch, transformers and peft beside jax[cuda], and 20 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, LENGTH, BATCH, RANK = 151_936, 2048, 8, 16
PROMPTS, PROMPT_LENGTH, NEW = 32, 1024, 64
SHAPE = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": VOCABULARY,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "attention_bias": False,
    "max_position_embeddings": 40960,
    "dtype": "bfloat16",
    "torch_dtype": "bfloat16",
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--part", choices=["torch", "jax"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        {"torch": measure_torch, "jax": measure_jax}[args.part](args.workdir)
        return
    make_inputs(args.workdir, args.layers)
    for part in ("torch", "jax"):
        subprocess.run([sys.executable, __file__, str(args.workdir), "--part", part], check=False)
    report(args.workdir)


def make_inputs(workdir: Path, layers: int) -> None:
    """A random checkpoint in five shards, and random tokens."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen3Config

    workdir.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    np.savez(
        workdir / "tokens.npz",
        parity=rng.integers(0, VOCABULARY, (2, 512)),
        train=rng.integers(0, VOCABULARY, (BATCH, LENGTH)),
        prompts=rng.integers(0, VOCABULARY, (PROMPTS, PROMPT_LENGTH)),
    )
    torch.manual_seed(0)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = AutoModelForCausalLM.from_config(Qwen3Config(**SHAPE, num_hidden_layers=layers))
    model.save_pretrained(workdir / "model", max_shard_size="4GB")


def measure_torch(workdir: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    tokens = np.load(workdir / "tokens.npz")

    def load(dtype: Any) -> Any:
        made = AutoModelForCausalLM.from_pretrained(workdir / "model", dtype=dtype, attn_implementation="sdpa")
        return made.to("cuda").eval()

    exact = load(torch.float32)
    parity = torch.tensor(tokens["parity"], device="cuda")
    with torch.inference_mode():
        np.save(workdir / "exact.npy", exact(parity).logits[:, -64:].float().cpu().numpy())
    del exact
    torch.cuda.empty_cache()

    began = time.monotonic()
    model = load(torch.bfloat16)
    torch.cuda.synchronize()
    note(workdir, "torch", "load_s", time.monotonic() - began)
    with torch.inference_mode():
        np.save(workdir / "torch.npy", model(parity).logits[:, -64:].float().cpu().numpy())
        prompts = torch.tensor(tokens["prompts"], device="cuda")
        settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}
        for _ in range(2):
            torch.cuda.synchronize()
            began = time.monotonic()
            model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
            torch.cuda.synchronize()
            seconds = time.monotonic() - began
    note(workdir, "torch", "generate_s", seconds)

    config = LoraConfig(r=RANK, lora_alpha=32, lora_dropout=0.05, target_modules=TARGETS, task_type="CAUSAL_LM")
    model = get_peft_model(model, config).train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    adapters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(adapters, lr=1e-5, fused=True)
    rows = torch.tensor(tokens["train"], device="cuda")
    torch.cuda.reset_peak_memory_stats()
    for step in range(5):
        if step == 2:
            torch.cuda.synchronize()
            began = time.monotonic()
        # As accumulation would: one row at a time where a batch of logits does not fit.
        for part in rows.split(BATCH // 4):
            (model(input_ids=part, labels=part).loss / 4).backward()
        torch.nn.utils.clip_grad_norm_(adapters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()
    note(workdir, "torch", "train_tokens_per_s", 3 * rows.numel() / (time.monotonic() - began))
    note(workdir, "torch", "train_peak_gb", torch.cuda.max_memory_allocated() / 1e9)


def measure_jax(workdir: Path) -> None:
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")
    import jax
    from flax import nnx
    from ml_collections import ConfigDict

    from reeval import hf, lora, sharding
    from reeval.decode.greedy import GreedyDecoder
    from reeval.train.step import StepOptions, init_state, make_train_step, optimizer_of, state_placement

    tokens = np.load(workdir / "tokens.npz")
    mesh = sharding.single_device_mesh()
    began = time.monotonic()
    model = jax.block_until_ready(hf.load_model(workdir / "model", mesh=mesh))
    note(workdir, "jax", "load_s", time.monotonic() - began)
    graph, weights = nnx.split(model)
    logits = jax.jit(lambda w, t: nnx.merge(graph, w)(t)[:, -64:])(weights, tokens["parity"].astype(np.int32))
    np.save(workdir / "jax.npy", np.asarray(logits))

    decoder = GreedyDecoder(graph, mesh, end=VOCABULARY, max_new=NEW - 1, cache_length=PROMPT_LENGTH + NEW)
    counts = np.full(PROMPTS, PROMPT_LENGTH, np.int32)
    for _ in range(2):
        began = time.monotonic()
        conversations, _ = decoder.begin(weights, tokens["prompts"], counts)
        seconds = time.monotonic() - began
        del conversations
    note(workdir, "jax", "generate_s", seconds)

    lora.add(model, lora.LoRAConfig(rank=RANK, dropout=0.05), hf.module_name, rngs=nnx.Rngs(0))
    parts, adapter, base = lora.take_apart(model)
    del model, weights
    tx, schedule = optimizer_of(
        ConfigDict(
            {
                "learning_rate": 1e-5,
                "final_learning_rate": 0.0,
                "warmup_steps": 1,
                "steps": 10,
                "clip_norm": 1.0,
                "weight_decay": 0.01,
                "b1": 0.9,
                "b2": 0.999,
            }
        )
    )
    whole = sharding.replicated(mesh)
    placement = state_placement(mesh, tx, adapter, dict.fromkeys(adapter, whole))
    state = init_state(tx, adapter, placement)
    row = tokens["train"].astype(np.int32)
    batch = {
        "tokens": row,
        "targets": np.roll(row, -1, axis=1),
        "weights": np.ones(row.shape, np.float32),
        "segments": np.ones_like(row),
        "positions": np.broadcast_to(np.arange(LENGTH, dtype=np.int32), row.shape).copy(),
    }
    for remat in ("full", "dots"):
        options = StepOptions(seed=0, remat=remat, loss_chunk=256, dropout=True)
        step = make_train_step(parts, tx, schedule, mesh, placement, options)
        placed = sharding.to_device(mesh, {name: value[None] for name, value in batch.items()}, leading=1)
        try:
            for i in range(5):
                if i == 2:
                    jax.block_until_ready(state)
                    began = time.monotonic()
                state, metrics = step(state, base, placed)
            jax.block_until_ready(state)
        except jax.errors.JaxRuntimeError as error:
            note(workdir, "jax", f"train_{remat}", str(error).splitlines()[0][:200])
            break
        note(workdir, "jax", f"train_{remat}_tokens_per_s", 3 * row.size / (time.monotonic() - began))
        note(workdir, "jax", f"train_{remat}_loss", float(metrics["loss"]))
        memory = step.lower(state, base, placed).compile().memory_analysis()
        note(workdir, "jax", f"train_{remat}_argument_gb", memory.argument_size_in_bytes / 1e9)
        note(workdir, "jax", f"train_{remat}_temporary_gb", memory.temp_size_in_bytes / 1e9)


def note(workdir: Path, who: str, what: str, value: Any) -> None:
    """Add a measurement to the workdir, and show it."""
    line = json.dumps({"who": who, "what": what, "value": value})
    print(line, flush=True)
    with (workdir / "measurements.jsonl").open("a") as file:
        file.write(line + "\n")


def report(workdir: Path) -> None:
    """Parity, and each figure as a ratio."""
    rows = [json.loads(line) for line in (workdir / "measurements.jsonl").read_text().splitlines()]
    found = {(row["who"], row["what"]): row["value"] for row in rows}
    exact = np.load(workdir / "exact.npy")
    for who in ("torch", "jax"):
        logits = np.load(workdir / f"{who}.npy")
        error = np.abs(logits - exact).max() / np.abs(exact).max()
        agree = (logits.argmax(-1) == exact.argmax(-1)).mean()
        print(f"{who}: bfloat16 logits within {error:.4f} of the largest of float32, same argmax {agree:.3f}")
    parameters = 8.19e9
    for remat in ("full", "dots"):
        ours, theirs = found.get(("jax", f"train_{remat}_tokens_per_s")), found[("torch", "train_tokens_per_s")]
        if ours:
            print(
                f"train, remat {remat}: {ours:.0f} tokens/s, {4 * parameters * ours / 1e12:.0f} TFLOP/s, "
                f"{ours / theirs:.2f} times transformers + PEFT ({theirs:.0f} tokens/s)"
            )
    ours, theirs = found[("jax", "generate_s")], found[("torch", "generate_s")]
    print(f"decode: {PROMPTS * NEW / ours:.0f} tokens/s, {theirs / ours:.2f} times transformers")


if __name__ == "__main__":
    main()
