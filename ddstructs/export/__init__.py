"""Trained networks outside PyTorch: ONNX files, and how to run them."""
