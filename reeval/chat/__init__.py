"""Chat servers that speak the protocol of OpenAI: asked from threads, with patience and within limits."""
