# syntax=docker/dockerfile:1

# Debian 12 in both stages, so that the program finds the C library it was linked with.
FROM rust:1.95-slim-bookworm AS build
# jemalloc is built from its sources.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies alone, in a layer that lasts until they change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY benches benches
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked --bin asset-gateway
COPY src src
# Copied files may be older than that build, and cargo would believe they are in it.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked --bin asset-gateway

# glibc, libgcc and CA certificates; no shell and no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY LICENSE /LICENSE
COPY --from=build /build/target/release/asset-gateway /asset-gateway
# As a number, or Kubernetes' runAsNonRoot can't tell that it isn't root.
USER 65532:65532
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["/asset-gateway", "health"]
ENTRYPOINT ["/asset-gateway"]
CMD ["serve"]
