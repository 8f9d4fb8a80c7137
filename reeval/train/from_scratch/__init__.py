"""The embedded judge, trained from nothing on template pairs: its tokenizer, its data, its loss, its loop.

python -m reeval.train.from_scratch --config configs/embedded_judge.py --out reeval/embedded
"""
