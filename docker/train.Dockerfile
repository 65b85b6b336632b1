# primus-train: stores in, IMU encoders out. Build from the top of the repository:
#   docker build -f docker/train.Dockerfile -t primus-train:0.1.0 \
#     --build-arg VERSION=0.1.0 --build-arg GIT_HASH="$(git rev-parse HEAD)" .
FROM python:3.11.13-slim-bookworm AS build

# An index to take torch from, such as one that holds builds without the GPU libraries.
# Empty: the package index. What torch itself needs comes with the rest, from the package index.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN python -m venv /opt/primus
ENV PATH=/opt/primus/bin:$PATH

WORKDIR /build
# Dependencies first: they change less often than the code.
COPY constraints.txt ./
RUN pip install -c constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

# The trainer reads stores by schemas alone: no decoder and no scheduler in this image.
COPY pyproject.toml README.md LICENSE ./
COPY schemas ./schemas
COPY primus_train ./primus_train
RUN pip install -c constraints.txt ".[train]" \
    && python -c "import primus_train.cli, zarr"


FROM python:3.11.13-slim-bookworm

ARG VERSION=unknown
ARG GIT_HASH=unknown
LABEL org.opencontainers.image.title="primus-train" \
      org.opencontainers.image.description="IMU encoders pretrained on synchronized IMU, video and text" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_HASH}"

RUN useradd --create-home --uid 1000 primus
COPY --from=build /opt/primus /opt/primus
ENV PATH=/opt/primus/bin:$PATH \
    PYTHONUNBUFFERED=1

USER primus
WORKDIR /home/primus
ENTRYPOINT ["primus-train"]
CMD ["--help"]
