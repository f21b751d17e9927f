"""The Open Inference Protocol over the same router and predictor as Predict, for tritonclient and KServe's client."""
