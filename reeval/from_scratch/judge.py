"""The judge of a run from scratch as a Hugging Face directory."""

import shutil
from pathlib import Path

import jax
from flax import nnx

from reeval import hf, hosts, lora, sharding
from reeval.from_scratch import tokenizer
from reeval.from_scratch.loop import TOKENIZER, abstract_judge
from reeval.run import Run
from reeval.train.checkpoint import Checkpoints


def save_judge(run: Run, out: str | Path) -> int:
    """Write the run's newest judge, without the head that is thrown away; gives its step.

    Raises:
        ValueError: if there is no checkpoint, or `out` may not be written.
    """
    whole = sharding.replicated(sharding.make_mesh((-1, 1, 1)))
    parts, trained, rest = lora.take_apart(abstract_judge(run.config), nnx.Param)
    like = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole) for name, x in trained.items()}
    step, trained = Checkpoints.newest_trained(run.checkpoints, like)
    if not hosts.first():
        return step
    made, out = run.workdir / TOKENIZER, Path(out)
    card = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    hf.save_model(out, parts.assemble(trained, rest).judge, hf.load_tokenizer(made), card=card)
    # transformers 5 writes a tokenizer class that transformers 4 does not know; ours, both read.
    for file in tokenizer.FILES:
        shutil.copyfile(made / file, out / file)
    (out / "chat_template.jinja").unlink(missing_ok=True)
    return step
