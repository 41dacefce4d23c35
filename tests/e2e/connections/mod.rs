//! Connections and protocols: TLS, HTTP/2, backpressure, proxies.

mod backpressure;
mod cors;
mod disconnects;
mod expectations;
mod http2;
mod lingering;
mod proxies;
mod reuse;
mod smuggling;
pub(crate) mod tls;
