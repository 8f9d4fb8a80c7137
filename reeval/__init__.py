"""reeval trains and runs judges of generated radiology reports."""

from typing import Any

from reeval.version import __version__ as __version__


def load_metric(model: str, **settings: Any) -> Any:
    """A judge as a metric: `load_metric(DIR)(references=[...], candidates=[...])`; see `reeval.score.metric`."""
    # Late, so that `import reeval` stays light.
    from reeval.score.metric import load_metric as load

    return load(model, **settings)
