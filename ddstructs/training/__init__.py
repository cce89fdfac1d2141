"""Training: the LightningModule, its metrics and its checkpoints."""
