"""The embedded judge, trained from nothing on template pairs: its tokenizer, its data, its loss, its loop."""
