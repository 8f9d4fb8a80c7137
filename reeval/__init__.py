"""reeval trains and runs judges of generated radiology reports."""

from typing import Any

from reeval.version import __version__ as __version__

# What follows imports late, so that `import reeval` stays light.


def load_metric(model: str, **settings: Any) -> Any:
    """A judge as a metric: `load_metric(DIR)(references=[...], candidates=[...])`; see `reeval.score.metric`."""
    from reeval.score.metric import load_metric as load

    return load(model, **settings)


def load_evaluate(model: str, **settings: Any) -> Any:
    """As a metric of Hugging Face's evaluate: `load_evaluate(DIR).compute(predictions=[...], references=[...])`."""
    from reeval.score.callables import EvaluateMetric

    return EvaluateMetric(model, **settings)


def load_radeval(model: str, **settings: Any) -> Any:
    """As RadEval is called: `load_radeval(DIR)(refs=[...], hyps=[...])`."""
    from reeval.score.callables import RadEvalMetric

    return RadEvalMetric(model, **settings)


def load_reward(model: str, **settings: Any) -> Any:
    """As a reward function for TRL: `GRPOTrainer(reward_funcs=load_reward(DIR), ...)`; see `reeval.score.reward`."""
    from reeval.score.reward import Reward

    return Reward(model, **settings)
