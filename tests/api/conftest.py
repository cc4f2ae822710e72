"""What every test of the API shares: apps are made quickly."""

from tests import routes as routes
