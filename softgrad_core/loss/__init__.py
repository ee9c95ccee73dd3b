"""The softmax cross-entropy loss: logits and targets -> probabilities, loss and gradients."""
