"""`reeval report`: a compared study to one HTML file."""

import os
from pathlib import Path

from reeval.files import write_atomically
from reeval.page.inputs import load
from reeval.page.render import html


def run(workdir: str, out: str, *, pairs: str = "", with_text: bool = False) -> None:
    """Write the page of a study.

    Args:
        pairs: the pair file that was judged; empty for the one that the study recorded.
        with_text: put the reports into it. Its owner alone can read it then.
    Raises:
        ValueError: if the study is not whole, or `out` cannot be written.
    """
    path = Path(out)
    if path.is_dir():
        raise ValueError(f"--out={out}: is a directory; give a file such as report.html")
    if not path.parent.is_dir():
        raise ValueError(f"--out={out}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"--out={out}: the directory {path.parent} cannot be written to")
    inputs = load(Path(workdir), pairs)
    # The new file is readable by its owner alone.
    write_atomically(path, html(inputs, with_text=with_text))
    if not with_text:
        path.chmod(0o666 & ~_umask())
    print(
        f"{path}: {len(inputs.pairs)} pairs, {len(inputs.columns)} evaluators and modes, "
        + ("with the text of reports: readable by you alone" if with_text else "without text of reports")
    )


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
