# One image; its command makes it web, worker or scheduler (compose.yaml).
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY . .
RUN useradd --system --home /app pilot && mkdir -p /app/var && chown pilot /app/var
USER pilot
ENV PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=amazon_pilot.settings
EXPOSE 8000
CMD ["gunicorn", "amazon_pilot.wsgi", "--bind", "0.0.0.0:8000", "--threads", "16"]
