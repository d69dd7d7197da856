# syntax=docker/dockerfile:1
FROM rust:1.95-bookworm AS build
WORKDIR /src

# Dependencies alone first: this layer is built again only when they change. Without
# rust-toolchain.toml, so that the image's own compiler is used.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src

COPY demo demo
COPY static static
COPY twiml twiml
COPY src src
# Newer than what the layer above built, whatever times the files came with.
RUN touch src/main.rs src/lib.rs && cargo build --release --locked

FROM debian:bookworm-slim
# Certificate authorities, which the clients of the carrier and of the agent need.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home dialtone \
    && install -d -o dialtone -g dialtone -m 700 /data
COPY --from=build /src/target/release/dialtone /usr/local/bin/dialtone

USER dialtone
WORKDIR /data
VOLUME /data
ENV LISTEN_ADDR=0.0.0.0:8080 DIALTONE_DATA_DIR=/data
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/${LISTEN_ADDR##*:} && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.1 200 ' <&3"]

ENTRYPOINT ["dialtone"]
CMD ["serve"]
