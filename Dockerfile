# Dependencies first, so that a change of the code alone does not build them again.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches && echo 'fn main() {}' | tee src/main.rs benches/embedded.rs > /dev/null && touch src/lib.rs \
    && cargo build --release --locked && rm -r src
COPY config config
COPY migrations migrations
COPY src src
RUN touch src/main.rs src/lib.rs && cargo build --release --locked

FROM debian:bookworm-slim
# Certificate authorities for Kafka with TLS; curl for the health checks of docker-compose.yml.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --uid 10001 flashsale
COPY --from=build /build/target/release/flashsale /usr/local/bin/flashsale
USER flashsale
EXPOSE 3000
ENTRYPOINT ["flashsale"]
CMD ["serve"]
