# syntax=docker/dockerfile:1

# Debian 13 in both stages, so that the program finds the C library it was linked with.
FROM rust:1.95-slim-trixie AS build
# jemalloc is built from its sources. Versions are those of the base image's release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
# The list of all crates becomes a part of the program: `cargo audit bin` reads it from an image.
RUN cargo install --locked cargo-auditable@0.7.7
WORKDIR /build
# The dependencies alone, in a layer that lasts until they change.
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo .cargo
COPY benches benches
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo auditable build --release --locked --no-default-features --bin asset-gateway
COPY src src
# What --version and the metric build_info tell: docker build --build-arg COMMIT="$(git rev-parse --short=12 HEAD)".
ARG COMMIT=unknown
# Copied files may be older than that build, and cargo would believe they are in it.
RUN touch src/main.rs src/lib.rs \
    && ASSET_GATEWAY_COMMIT="$COMMIT" \
       cargo auditable build --release --locked --no-default-features --bin asset-gateway

# glibc, libgcc and CA certificates; no shell and no package manager.
FROM gcr.io/distroless/cc-debian13:nonroot
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="asset-gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$COMMIT"
COPY LICENSE /LICENSE
COPY --from=build /build/target/release/asset-gateway /asset-gateway
# As a number, or Kubernetes' runAsNonRoot can't tell that it isn't root.
USER 65532:65532
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK CMD ["/asset-gateway", "health"]
ENTRYPOINT ["/asset-gateway"]
CMD ["serve"]
