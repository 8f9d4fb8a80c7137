"""Bytes read from the text of compiled programs: of real ones on 8 CPU devices, and of lines as TPUs have them."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding

from reeval import sharding
from reeval.plan.hlo import array_bytes, group_of, parse, traffic

L, D = 6, 64


@pytest.fixture(scope="module")
def fsdp() -> str:
    """A scan over layers whose weights are split eight ways along D, which every device needs whole."""
    mesh = sharding.make_mesh((1, 8, 1))
    weights = jax.ShapeDtypeStruct(
        (L, D, D), "float32", sharding=sharding.place(mesh, (None, "embed", None), (L, D, D))
    )
    x = jax.ShapeDtypeStruct((512, D), "float32", sharding=sharding.place(mesh, ("batch", None), (512, D)))

    def run(x, weights):
        whole: NamedSharding = sharding.replicated(mesh)

        def layer(x, w):
            return x @ jax.lax.with_sharding_constraint(w, whole), None

        return jax.lax.scan(layer, x, weights)[0].sum()

    return jax.jit(run).lower(x, weights).compile().as_text()


def test_a_loops_collectives_count_as_often_as_it_runs(fsdp):
    found = traffic(fsdp)
    # A device sends its eighth of each layer to seven others.
    assert found.inside["all-gather"] == L * (D * D * 4) // 8 * 7
    # And a share of one sum, twice 7/8 of four bytes.
    assert found.inside["all-reduce"] == 7
    assert not found.across


def test_collectives_that_span_slices_are_told_apart(fsdp):
    found = traffic(fsdp, slice_size=4)
    assert found.across == traffic(fsdp).inside
    assert not found.inside


def test_a_loop_reads_a_slice_of_its_stack_a_time(fsdp):
    # Its own part of each layer, what it gathers of it (written and read), and 64 rows in and out.
    least = L * (D * D * 4 // 8 + 2 * D * D * 4 + 2 * 64 * D * 4)
    assert least <= traffic(fsdp).memory <= 2.5 * least


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("replica_groups={{0,2},{1,3}}", [0, 2]),
        ("replica_groups=[2,4]<=[8]", [0, 1, 2, 3]),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", [0, 4]),
        ("replica_groups=mesh['axis_0'=8,'axis_1'=1] {'axis_0'}", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}", [0, 4]),
        ("replica_groups=mesh['a'=2,'b'=4] {'b'}", [0, 1, 2, 3]),
        ("replica_groups=mesh['a'=8] {'a':(2)4}", [0, 1, 2, 3]),
        ("replica_groups=mesh['a'=8] {'a':(1)2}", [0, 4]),
        ("source_target_pairs={{0,7},{1,0}}", [0, 7]),
    ],
)
def test_groups_are_read_in_every_spelling(text, group):
    assert group_of(text) == group


@pytest.mark.parametrize(
    ("kind", "size", "in_hbm"),
    [
        ("f32[2,3]{1,0}", 24, 24),
        ("bf16[8,128]{1,0:T(8,128)(2,1)S(1)}", 2048, 0),
        ("(bf16[4]{0:T(256)}, u32[]{:S(2)}, pred[3])", 15, 11),
        ("s4[10]", 5, 5),
        ("f8e4m3fn[10]", 10, 10),
        ("token[]", 0, 0),
    ],
)
def test_sizes_of_types(kind, size, in_hbm):
    assert sum(array_bytes(kind)) == size
    assert sum(array_bytes(kind, hbm=True)) == in_hbm


# As libtpu prints them: no known trip counts, collectives fused with work, buffers handed on, other memories.
TPU = """HloModule step

%body.1 (p: (s32[], bf16[8,64,64])) -> (s32[], bf16[8,64,64]) {
  %p = (s32[]{:T(128)}, bf16[8,64,64]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %i = s32[]{:T(128)S(6)} get-tuple-element(%p), index=0
  %w = bf16[8,64,64]{2,1,0:T(8,128)(2,1)} get-tuple-element(%p), index=1
  %begin = bf16[64,64]{1,0:T(8,128)(2,1)} fusion(%w, %i), kind=kLoop, calls=%slicing
  ROOT %made = (s32[]{:T(128)}, bf16[8,64,64]{2,1,0:T(8,128)(2,1)}) tuple(%i, %w)
}

%slicing (a: bf16[8,64,64], b: s32[]) -> bf16[64,64] {
  %a = bf16[8,64,64]{2,1,0:T(8,128)(2,1)} parameter(0)
  %b = s32[]{:T(128)S(6)} parameter(1)
  %one = bf16[1,8,64]{2,1,0:T(8,128)(2,1)} dynamic-slice(%a, %b), dynamic_slice_sizes={1,8,64}
  %all = bf16[64,64]{1,0:T(8,128)(2,1)} all-gather(%one), channel_id=3, replica_groups=mesh['x'=8] {'x'}
  ROOT %out = bf16[64,64]{1,0:T(8,128)(2,1)} negate(%all)
}

%cond.1 (q: (s32[], bf16[8,64,64])) -> pred[] {
  %q = (s32[]{:T(128)}, bf16[8,64,64]{2,1,0:T(8,128)(2,1)}) parameter(0)
  %n = s32[]{:T(128)} constant(5)
  %j = s32[]{:T(128)} get-tuple-element(%q), index=0
  ROOT %less = pred[]{:T(1024)} compare(%j, %n), direction=LT
}

ENTRY %main (x: (s32[], bf16[8,64,64])) -> (s32[], bf16[8,64,64]) {
  %x = (s32[]{:T(128)}, bf16[8,64,64]{2,1,0:T(8,128)(2,1)}) parameter(0)
  ROOT %loop = (s32[]{:T(128)}, bf16[8,64,64]{2,1,0:T(8,128)(2,1)}) while(%x), condition=%cond.1, body=%body.1
}
"""


def test_a_tpus_text_is_read():
    computations, entry = parse(TPU)
    assert entry == "main"
    assert [line.operands for line in computations["slicing"]][2:4] == [["a", "b"], ["one"]]
    found = traffic(TPU)
    # Five turns, each of which gathers a slice of 8 x 64 from seven others: the trips stand in the condition alone.
    assert found.inside == {"all-gather": 5 * 8 * 64 * 2 * 7}
    # The slice is read twice, the gathered array written and, negated, again; not the stack of all. And 9 bytes where
    # two counters are compared.
    assert found.memory == 5 * ((8 * 64 * 2) + (64 * 64 * 2) + (8 * 64 * 2 + 64 * 64 * 2) + 9)


def test_what_gpus_begin_early_is_read_by_the_slice():
    early = "%begin = ((bf16[8,64,64]{2,1,0}, s32[]), bf16[64,64]{1,0}, u32[]) fusion-start(%w, %i), kind=kLoop, calls"
    gpu = re.sub(r"%begin = .*? calls", early, TPU)
    assert gpu != TPU and traffic(gpu) == traffic(TPU)


# Between slices: the host is handed an array, and gives what comes of it.
SEND = (
    "  %t = token[] after-all()\n  %part = f32[64]{0:T(128)} constant(0)\n"
    "  %send.1 = (f32[64]{0:T(128)}, u32[], token[]) send(%part, %t), channel_id=2, is_host_transfer=true, "
    'frontend_attributes={_xla_megascale_target="{SLICES}x{0:3}",_xla_megascale_transfer_type="KIND"}\n'
)


@pytest.mark.parametrize(
    ("slices", "kind", "sent"),
    [
        ("1,2", "ALL_REDUCE", {"all-reduce": 256}),
        ("1:4", "ALL_REDUCE", {"all-reduce": 384}),
        ("1,2,4", "ALL_GATHER", {"all-gather": 512}),
        ("1,2", "ONE_TO_ONE", {"collective-permute": 256}),
    ],
)
def test_what_goes_to_other_slices_through_hosts_is_counted(slices, kind, sent):
    send = SEND.replace("SLICES", slices).replace("KIND", kind)
    assert traffic(TPU.replace("  ROOT %loop", f"{send}  ROOT %loop")).across == sent
    assert traffic(TPU.replace("  ROOT %made", f"{send}  ROOT %made")).across == {k: 5 * n for k, n in sent.items()}


def test_a_loop_that_ends_with_data_counts_once():
    on_data = TPU.replace("  ROOT %less", "  %k = s32[] get-tuple-element(%q), index=1\n  ROOT %less")
    assert traffic(on_data).inside["all-gather"] == 8 * 64 * 2 * 7
    jaxpr_like = jax.jit(lambda x: jax.lax.while_loop(lambda x: jnp.any(x < 3), lambda x: x @ x, x))
    text = jaxpr_like.lower(jnp.ones((4, 4))).compile().as_text()
    assert traffic(text).memory < 20 * 4 * 4 * 4
