"""Commands: train and evaluate LightmanNet and its relatives on micro-expression corpora."""
