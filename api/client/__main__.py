"""`python -m api.client` is `envoyctl`."""

from api.client.cli import main

main()
