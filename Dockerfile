# Two stages: `build` compiles the program, the last one is the image that runs. scripts/image.py replays these steps
# without an engine: `make packaging` checks the plan, `make image-check` builds.
#
# The bases are pinned by exact tag. Release machines that reach an image registry can pin them by digest as well
# (`docker buildx imagetools inspect TAG`).
FROM rust:1.95.0-slim-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /build
# Versions of Debian packages are not pinned: Debian removes a version from its mirrors when a security fix replaces it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*

# The manifest without its tests and benches: their files are not in the context, and cargo refuses a manifest that names
# a file that is missing. Every [[test]] and [[bench]] is cut, so that a new one needs no change here. Dependencies,
# those of tests included, stay: Cargo.lock has to fit. That is also why the manifest of the simulator is here,
# which only tests depend on: it is not built, and empty files stand for its code.
COPY .cargo/config.toml .cargo/
COPY Cargo.toml Cargo.lock ./
COPY tests/simulator/Cargo.toml tests/simulator/
RUN awk '/^\[/ { cut = /^\[\[(test|bench|example)\]\]/ } !cut' Cargo.toml > Cargo.toml.cut \
    && mv Cargo.toml.cut Cargo.toml \
    && mkdir tests/simulator/src \
    && touch tests/simulator/src/lib.rs tests/simulator/src/main.rs

# Dependencies first, so that a change of the code alone does not build them again.
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY config config
COPY migrations migrations
COPY src src
COPY web web
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

# The program without its line tables, and the line tables in a file that the program names (`.gnu_debuglink`):
# backtraces, gdb and perf find it beside the program.
RUN mkdir /out \
    && objcopy --only-keep-debug --compress-debug-sections=zlib target/release/flashsale /out/flashsale.debug \
    && objcopy --strip-all target/release/flashsale /out/flashsale \
    && objcopy --add-gnu-debuglink=/out/flashsale.debug /out/flashsale \
    && chmod 0644 /out/flashsale.debug

FROM debian:12.11-slim
# Certificate authorities for Kafka with TLS; curl for the health checks of docker-compose.yml.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
# Layers of their own: the line tables, which are large, and the program.
COPY --from=build /out/flashsale.debug /usr/local/bin/flashsale.debug
COPY --from=build /out/flashsale /usr/local/bin/flashsale
# A number, so that Kubernetes' runAsNonRoot can check it. The user needs no entry in /etc/passwd.
USER 10001:10001
EXPOSE 3000
ENTRYPOINT ["flashsale"]
CMD ["serve"]
