"""Training: how our own model is made, from nothing, on a CPU. For developers; not in the wheel.

The steps are modules with one job each: `corpus` (sheets to pairs of prompt and text), `tokenizer`,
`net`, `train`, `convert` (to GGUF), `parity` (the file computes what the trainer computed),
`evaluate`, `card` and `ship` (only when it is better than what ships).
`python -m models.explainer.training` runs them in this order.

Only `net`, `train` and `convert` import torch, and only `tokenizer` imports tokenizers.
"""
