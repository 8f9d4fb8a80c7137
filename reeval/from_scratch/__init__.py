"""The embedded judge, trained from nothing on pairs of written reports: its tokenizer, its data, its loss, its loop."""
