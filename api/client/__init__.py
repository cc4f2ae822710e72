"""`envoyctl`: the remote client of the envoy-fleet API; it knows nothing of the server but what the API says."""
