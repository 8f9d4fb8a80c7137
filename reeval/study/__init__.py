"""Evaluators compared on the same pairs: judgements in, one comparison out, as JSON, tables and figures."""
