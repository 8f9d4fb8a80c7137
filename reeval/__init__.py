"""reeval trains and runs judges of generated radiology reports."""

__version__ = "0.1.0"
