# Two images from one file:  docker build --target web .   docker build --target worker .
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 PHANTOM_DATA_DIR=/data PHANTOM_HOST=0.0.0.0 PHANTOM_PORT=8000
WORKDIR /studio
RUN useradd --create-home --uid 1000 studio && mkdir /data && chown studio /data

FROM base AS web-packages
COPY requirements/web.txt requirements/web.txt
RUN python -m venv /venv && /venv/bin/pip install -r requirements/web.txt

FROM web-packages AS worker-packages
COPY requirements/worker.txt requirements/worker.txt
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && /venv/bin/pip install -r requirements/worker.txt

FROM base AS web
COPY --from=web-packages /venv /venv
COPY app app
COPY models models
COPY migrations migrations
COPY templates templates
COPY static static
COPY alembic.ini alembic.ini
USER studio
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["/venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["/venv/bin/python", "-m", "app", "web"]

FROM base AS worker
COPY --from=worker-packages /venv /venv
COPY app app
COPY models models
COPY migrations migrations
COPY workers workers
COPY alembic.ini alembic.ini
USER studio
VOLUME /data
CMD ["/venv/bin/python", "-m", "app", "worker", "--queues", "gpu"]
