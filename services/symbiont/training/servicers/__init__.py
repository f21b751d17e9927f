"""The gRPC face of the training service, one module a resource."""
