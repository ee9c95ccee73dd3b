"""The loss of the softmax output layer: logits and targets -> probabilities, loss, gradients."""
