"""Where a comparison goes: compare.json, figures as PNG and SVG, TensorBoard. None holds report text."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboardX import SummaryWriter

from reeval.evaluate.figure import pixels
from reeval.evaluate.report import scalars as of_summary
from reeval.evaluate.writers import write_results
from reeval.files import write_atomically
from reeval.study.figures import figures
from reeval.study.style import svg

_SUFFIX = ".study"


def write(directory: str | Path, comparison: Mapping[str, Any]) -> None:
    """Write compare.json, figures/ and tensorboard/ into a directory that exists, in place of those of an earlier time.

    The same comparison gives the same bytes, but for TensorBoard's, which hold the time.
    """
    directory = Path(directory)
    write_results(directory / "compare.json", comparison)
    drawn = directory / "figures"
    drawn.mkdir(exist_ok=True)
    made: dict[str, np.ndarray] = {}
    for old in [*drawn.glob("*.png"), *drawn.glob("*.svg")]:
        old.unlink()
    for name, figure in figures(comparison).items():
        made[name] = pixels(figure)
        write_atomically(drawn / f"{name}.png", _png(made[name]))
        write_atomically(drawn / f"{name}.svg", svg(figure))
    _tensorboard(directory / "tensorboard", comparison, made)


def scalars(comparison: Mapping[str, Any]) -> dict[str, float]:
    """A comparison as flat names and numbers: "NAME/MODE/D", "NAME/two_pass_trades/R". What is unknown is left out."""
    flat: dict[str, float | None] = {}
    for name, one in comparison["evaluators"].items():
        for mode, of in one["modes"].items():
            here = f"{name}/{mode}"
            if of["summary"] is not None:
                flat |= {f"{here}/{key}": value for key, value in of_summary(_clustered(of["summary"])).items()}
            for amount in ("input_tokens", "output_tokens", "seconds", "cost"):
                flat[f"{here}/usage/{amount}"] = of["usage"][amount]["mean"]
            for score in ("brier", "ece") if of["calibration"] else ():
                flat[f"{here}/calibration/{score}"] = of["calibration"][score]
    for name, of in comparison["two_pass"].items():
        for key, value in of.items():
            flat[f"{name}/two_pass_trades/{key}"] = value["difference"] if isinstance(value, Mapping) else value
    flat |= _taus("graded", comparison["graded"], lambda of: of["tau_b"])
    flat |= _taus("humans", (comparison["humans"] or {}).get("counts"), lambda of: of["significant"]["tau_b"])
    return {name: float(value) for name, value in flat.items() if value is not None}


def _clustered(summary: Mapping[str, Any]) -> dict[str, Any]:
    """With the intervals over references in place of Wilson's, and the quarters of length by number."""
    made = {key: value for key, value in summary.items() if key not in ("D_interval", "R_interval", "by_length")}
    for name in ("D", "R"):
        low, high = summary[f"{name}_interval"]
        made[name] = {**summary[name], "low": low, "high": high}
    return made | {"by_length": {str(i): quarter for i, quarter in enumerate(summary["by_length"], start=1)}}


def _taus(what: str, found: Mapping[str, Any] | None, tau: Any) -> dict[str, float | None]:
    return {
        f"{name}/{mode}/{what}/{value.replace(' ', '_')}_tau_b": tau(of)
        for name, modes in (found["evaluators"] if found else {}).items()
        for mode, values in modes.items()
        for value, of in values.items()
    }


def _tensorboard(logdir: Path, comparison: Mapping[str, Any], images: Mapping[str, np.ndarray]) -> None:
    for old in logdir.glob(f"events*{_SUFFIX}"):
        old.unlink()
    writer = SummaryWriter(str(logdir), filename_suffix=_SUFFIX)
    for name, value in scalars(comparison).items():
        writer.add_scalar(f"study/{name}", value, 0)
    for name, image in images.items():
        writer.add_image(f"study/{name}", image, 0, dataformats="HWC")
    writer.close()


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
