"""Commands: train and evaluate LightmanNet and other meta-learning methods on micro-expression corpora."""
