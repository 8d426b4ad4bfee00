# The page for a server of your own. What is kept lies in /data: runs, and models that were fetched.
#   docker build -t before-after .
#   docker run -p 127.0.0.1:7860:7860 -v before-after:/data before-after
# For a GPU add --gpus all. compose.yaml has the same with a login.
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 app && mkdir /data && chown app /data
WORKDIR /app
COPY requirements.txt requirements.lock ./
RUN pip install --no-cache-dir -r requirements.txt -c requirements.lock
COPY --chown=app . .

USER app
ENV BEFORE_AFTER_RUNS=/data/runs \
    BEFORE_AFTER_CACHE=/data/cache \
    HF_HOME=/data/huggingface \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 7860
HEALTHCHECK --start-period=120s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health')"]
STOPSIGNAL SIGINT
# Whoever reaches the port may use the page, within limits; each visitor sees their own runs.
ENTRYPOINT ["python", "app.py"]
CMD ["--public"]
