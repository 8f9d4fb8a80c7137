"""The embedded judge: a tiny Qwen3-architecture checkpoint that lets the whole way run with no download.

It was trained on template text to exercise the pipeline, and is no judge of real reports.
"""

from pathlib import Path

DIRECTORY = Path(__file__).parent
