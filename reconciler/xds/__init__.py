"""The xDS server: tells each Envoy what its snapshot says, in an order that loses no request, and hears what it answers."""
