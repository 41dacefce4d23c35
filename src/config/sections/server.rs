//! `[server]`: the listeners, and how much they bear.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::auth::AuthMode;
use crate::api::{CorsOrigin, IpRange};
use crate::config::errors::ErrorCollector;
use crate::config::schema::rules::within;
use crate::config::schema::section;
use crate::types::units::ByteSize;

/// hyper's buffer is at most twice as large, and has to hold more of a head than the 16 KiB that
/// are taken: what fills it is refused by hyper, without a word of why.
const LEAST_BUFFER: ByteSize = ByteSize::kib(16);

/// A lowest rate above this would refuse callers on good lines.
const HIGHEST_LEAST_RATE: ByteSize = ByteSize::mib(1);

/// A shorter limit is a refusal: TCP needs about as long to send a lost packet once more.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);

/// Nobody who types takes longer for a head, and a longer one lets strangers hold connections for
/// nothing.
const LONGEST_HEAD: Duration = Duration::from_secs(5 * 60);

/// With a shorter time, each request needs a connection of its own.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// With a longer time, clients that are gone hold permits and connections.
const LONGEST_IDLE: Duration = Duration::from_secs(60 * 60);

/// Orchestrators wait for minutes at most until a service is out of their tables.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);

/// A restart that takes longer is none.
const LONGEST_GRACE: Duration = Duration::from_secs(60 * 60);

section! {
    /// The listeners, and how much they bear.
    ServerSection as "server" {
        /// Where callers connect.
        listen: SocketAddr = "0.0.0.0:8080";
        /// Where metrics, health and orphans are served. Keep it private.
        admin_listen: SocketAddr = "0.0.0.0:9464";
        /// The certificate that callers are shown, a PEM file with its chain; read again when it
        /// changes. Without it, all is in clear.
        tls_cert: Option<PathBuf> => "none";
        /// Its private key, a PEM file.
        tls_key: Option<PathBuf> => "none";
        /// How long a request's head may take, and a TLS handshake.
        header_timeout: Duration = "10s" where within(LEAST_TIMEOUT, LONGEST_HEAD);
        /// How long a connection may be idle. Should be longer than the ingress keeps it.
        keep_alive_timeout: Duration = "75s" where within(LEAST_IDLE, LONGEST_IDLE);
        /// How long a body may bring no byte before the response is 408, or a client may read no
        /// byte of its response before it is disconnected.
        body_idle_timeout: Duration = "30s" where within(LEAST_TIMEOUT, LONGEST_IDLE);
        /// The slowest client, in bytes a second over a minute of waiting for it, up to 1MiB: below
        /// it an upload gets 408 and a download is cut; 0 switches that off.
        min_rate: ByteSize = "1KiB" where within(ByteSize(0), HIGHEST_LEAST_RATE);
        /// After SIGTERM, how long to serve on while being unready.
        drain_delay: Duration = "5s" where within(Duration::ZERO, LONGEST_DELAY);
        /// After the drain delay, how long running transfers may take to finish.
        shutdown_grace: Duration = "30s" where within(Duration::ZERO, LONGEST_GRACE);
        /// How much is read ahead on each connection, 16KiB to 1MiB. Fewer than 64 requests in
        /// flight share what 64 would have, up to four times as much each; from 128 on each has
        /// half.
        read_buffer: ByteSize = "128KiB" where within(LEAST_BUFFER, ByteSize::mib(1));
        /// Proxies whose `Forwarded` or `X-Forwarded-For` counts for `client` in the log: IP
        /// addresses and ranges such as 10.0.0.0/8.
        trusted_proxies: Vec<IpRange> = "";
        /// Origins of web pages that may call, such as https://app.example.com; `*` for all, only
        /// with `auth.mode = "none"` on loopback.
        cors_origins: Vec<CorsOrigin> = "";
        /// Connections at one time; above, 503 at once.
        max_connections: usize = "10000" where within(1, 1_000_000);
        /// Uploads at one time; above, 503 at once. Once half are taken, no caller gets more than
        /// its share.
        max_uploads: usize = "1024" where within(1, 1_000_000);
        /// Downloads at one time; above, 503 at once. Once half are taken, no caller gets more than
        /// its share.
        max_downloads: usize = "1024" where within(1, 1_000_000);
    }
}

impl ServerSection {
    /// Notes what contradicts itself.
    pub(in crate::config) fn compare(&self, errors: &mut ErrorCollector) {
        if clash(self.listen, self.admin_listen) {
            errors.conflict(
                &["server.admin_listen", "server.listen"],
                format!(
                    "{} is taken by server.listen ({})",
                    self.admin_listen, self.listen
                ),
            );
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => errors.conflict(
                &["server.tls_cert", "server.tls_key"],
                "needs server.tls_key, which isn't set",
            ),
            (None, Some(_)) => errors.conflict(
                &["server.tls_key", "server.tls_cert"],
                "needs server.tls_cert, which isn't set",
            ),
            _ => {}
        }
    }

    /// Every page that a visitor opens could do what the visitor can: nobody else must be able to
    /// connect, and no key be in use.
    pub(in crate::config) fn compare_origins(
        &self,
        mode: Option<AuthMode>,
        errors: &mut ErrorCollector,
    ) {
        let is_private = mode == Some(AuthMode::Anyone) && self.listen.ip().is_loopback();
        if self.cors_origins.contains(&CorsOrigin::Any) && !is_private {
            errors.conflict(
                &["server.cors_origins", "auth.mode", "server.listen"],
                "\"*\" is only for auth.mode = \"none\" and a server.listen on loopback: list the \
                 origins, such as https://app.example.com",
            );
        }
    }
}

/// Whether two listeners would fight for a port. Port 0 means any free one.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_clash_on_one_port_of_one_address() {
        let clash = |one: &str, other: &str| clash(one.parse().unwrap(), other.parse().unwrap());
        assert!(clash("127.0.0.1:80", "127.0.0.1:80"));
        assert!(clash("0.0.0.0:80", "127.0.0.1:80"));
        assert!(!clash("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!clash("0.0.0.0:80", "0.0.0.0:81"));
        assert!(!clash("0.0.0.0:0", "0.0.0.0:0"));
    }
}
