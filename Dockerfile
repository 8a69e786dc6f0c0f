# syntax=docker/dockerfile:1
#
# Addendum in a container, for processors or for NVIDIA GPUs:
#
#     docker build --target cpu -t addendum .
#     docker build --target cuda --build-arg CUDA_COMPUTE_CAP=90 -t addendum:cuda .
#
#     docker run --rm -v "$PWD/runs:/work/runs" addendum train --config configs/phantoms.toml
#     docker run --rm --gpus all -v "$PWD/runs:/work/runs" -v /data:/data:ro -v /models:/models:ro addendum:cuda \
#         train --config configs/gpus/1.toml --set data.folder=/data/mimic-cxr --set policy.path=/models/sft --out runs/1
#
# The user in it has the id 1000: folders that are mounted to be written must be theirs (`--user` names another one).
# `cpu` has been built by buildah, over base images like those named here, and has trained; `cuda` has not been built yet:
# its build commands are those of docs/gpu.md.

ARG RUST_VERSION=1.89
ARG CUDA_VERSION=12.8.1

FROM rust:${RUST_VERSION}-slim-bookworm AS build-cpu
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin addendum && install -Ds target/release/addendum /out/addendum

FROM nvidia/cuda:${CUDA_VERSION}-devel-ubuntu24.04 AS build-cuda
ARG RUST_VERSION
ARG CUDA_COMPUTE_CAP=90
ENV CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP} PATH=/root/.cargo/bin:${PATH}
RUN apt-get update && apt-get install -y --no-install-recommends build-essential ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain ${RUST_VERSION}
WORKDIR /build
COPY . .
# The driver's library is not there while the image is built; its stub is.
RUN --mount=type=cache,target=/root/.cargo/registry --mount=type=cache,target=/build/target \
    RUSTFLAGS="-L /usr/local/cuda/lib64/stubs" cargo build --release --locked --features cuda --bin addendum \
    && install -Ds target/release/addendum /out/addendum

FROM debian:bookworm-slim AS cpu
RUN useradd --uid 1000 --create-home addendum && install -d -o addendum /work /work/runs
COPY --from=build-cpu /out/addendum /usr/local/bin/
COPY --chown=addendum configs /work/configs
COPY --chown=addendum examples/checkpoints /work/examples/checkpoints
USER addendum
WORKDIR /work
STOPSIGNAL SIGTERM
ENTRYPOINT ["addendum"]
CMD ["--help"]

FROM nvidia/cuda:${CUDA_VERSION}-runtime-ubuntu24.04 AS cuda
# Ubuntu's image has a user of that id.
RUN userdel --remove ubuntu && useradd --uid 1000 --create-home addendum && install -d -o addendum /work /work/runs
COPY --from=build-cuda /out/addendum /usr/local/bin/
COPY --chown=addendum configs /work/configs
COPY --chown=addendum examples/checkpoints /work/examples/checkpoints
USER addendum
WORKDIR /work
STOPSIGNAL SIGTERM
ENTRYPOINT ["addendum"]
CMD ["--help"]
