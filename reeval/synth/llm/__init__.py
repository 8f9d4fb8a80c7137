"""More natural candidates: a rule-made pair is the specification, a chat server writes, the same checks follow."""
