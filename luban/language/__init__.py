"""What tasks over running text share: packing, causal losses, conversations, answers piece by piece."""
