//! TLS on the data listener, and to eGain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asset_gateway::sandbox::Sandbox;
use asset_gateway::sandbox::config::SandboxConfig;
use reqwest::{Certificate, Version};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::binary::{Running, owned, program, run, settings};
use crate::support::client::Client;
use crate::support::gateway::{TestGateway, noise, receipt};

/// Certificate and key in files, as a mounted secret has them.
pub(crate) struct Identity(TempDir);

impl Identity {
    pub(crate) fn new() -> (Self, Certificate) {
        let identity = Self(tempfile::tempdir().unwrap());
        let certificate = identity.renew();
        (identity, certificate)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Of long ago.
    pub(crate) fn expired() -> Self {
        let identity = Self(tempfile::tempdir().unwrap());
        let mut parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        std::fs::write(identity.path("cert"), certificate.pem()).unwrap();
        std::fs::write(identity.path("key"), key.serialize_pem()).unwrap();
        identity
    }

    /// Of a host with this name.
    pub(crate) fn of(host: &str) -> Self {
        let identity = Self(tempfile::tempdir().unwrap());
        identity.issue(host);
        identity
    }

    fn renew(&self) -> Certificate {
        self.issue("127.0.0.1")
    }

    fn issue(&self, host: &str) -> Certificate {
        let made = rcgen::generate_simple_self_signed(vec![host.into()]).unwrap();
        std::fs::write(self.path("cert"), made.cert.pem()).unwrap();
        std::fs::write(self.path("key"), made.signing_key.serialize_pem()).unwrap();
        Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
    }

    async fn gateway(&self, more: &[(&str, &str)]) -> TestGateway {
        let (cert, key) = (self.path("cert"), self.path("key"));
        let given = [
            ("server.tls_cert", cert.as_str()),
            ("server.tls_key", key.as_str()),
        ];
        TestGateway::builder()
            .settings(&[given.as_slice(), more].concat())
            .start()
            .await
    }
}

fn trusting(certificate: &Certificate) -> Client {
    Client::with(|builder| builder.tls_certs_only([certificate.clone()]))
}

fn trusting_over_http1(certificate: &Certificate) -> Client {
    Client::with(|builder| builder.tls_certs_only([certificate.clone()]).http1_only())
}

/// Whether a new connection is shown a certificate that this one vouches for.
async fn is_shown(gateway: &TestGateway, certificate: &Certificate) -> bool {
    let client = trusting(certificate);
    client
        .get(format!("https://{}/v1/assets/none", gateway.addr))
        .send()
        .await
        .is_ok()
}

/// A connection over TLS on which nothing was said, not even by ALPN.
async fn handshake(
    gateway: &TestGateway,
    identity: &Identity,
    version: &'static rustls::SupportedProtocolVersion,
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(identity.path("cert")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(gateway.addr).await.unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(gateway.addr.ip().into(), socket)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_round_trip_uses_the_protocol_that_alpn_chooses() {
    let (identity, certificate) = Identity::new();
    let gateway = identity.gateway(&[]).await;
    let clients = [
        (trusting_over_http1(&certificate), Version::HTTP_11),
        (trusting(&certificate), Version::HTTP_2),
    ];
    for (client, version) in clients {
        let url = format!("https://{}/v1/assets?channel=sms&name=a.bin", gateway.addr);
        let answer = client
            .post(url)
            .body(noise(3_000_000, 4))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.version(), version);
        let id = receipt(answer).await["id"].as_str().unwrap().to_owned();
        let answer = client
            .get(format!("https://{}/v1/assets/{id}/content", gateway.addr))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.version(), version);
        assert!(answer.bytes().await.unwrap() == noise(3_000_000, 4));
    }
    let admin = gateway
        .client
        .get(format!("http://{}/readyz", gateway.admin))
        .send()
        .await
        .unwrap();
    assert_eq!(admin.status(), 200, "the admin listener stays in clear");
}

#[tokio::test]
async fn a_client_without_alpn_gets_http_1_1() {
    let (identity, _) = Identity::new();
    let gateway = identity.gateway(&[]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = handshake(&gateway, &identity, version).await;
        stream
            .write_all(
                b"GET /v1/assets/none HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n",
            )
            .await
            .unwrap();
        let mut answer = String::new();
        // Ends well only if the gateway ends TLS, too.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}

#[tokio::test]
async fn new_connections_get_a_changed_but_no_broken_certificate() {
    let (identity, first) = Identity::new();
    let gateway = identity.gateway(&[]).await;
    let kept = trusting(&first);
    let url = format!("https://{}/v1/assets/none", gateway.addr);
    kept.get(&url).send().await.unwrap();
    std::fs::write(identity.path("cert"), "no certificate").unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(is_shown(&gateway, &first).await);
    let second = identity.renew();
    let began = Instant::now();
    while !is_shown(&gateway, &second).await {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "it was never taken"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!is_shown(&gateway, &first).await);
    assert_eq!(
        kept.get(&url).send().await.unwrap().status(),
        404,
        "what is open stays open"
    );
}

#[tokio::test]
async fn silence_garbage_and_plaintext_delay_nobody_and_are_closed() {
    let (identity, certificate) = Identity::new();
    let gateway = identity.gateway(&[("server.header_timeout", "2s")]).await;
    let mut stalled = Vec::new();
    for start in [
        "",
        "\u{16}\u{3}\u{1}",
        "GET / HTTP/1.1\r\nHost: gateway\r\n\r\n",
    ] {
        let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
        socket.write_all(start.as_bytes()).await.unwrap();
        stalled.push(socket);
    }
    let began = Instant::now();
    assert!(is_shown(&gateway, &certificate).await);
    assert!(
        began.elapsed() < Duration::from_millis(1500),
        "{:?}",
        began.elapsed()
    );
    for mut socket in stalled {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
        assert!(
            end.is_ok() && !rest.starts_with(b"HTTP"),
            "{:?}",
            String::from_utf8_lossy(&rest)
        );
    }
}

#[tokio::test]
async fn who_only_shakes_hands_is_closed_in_time() {
    let (identity, certificate) = Identity::new();
    let gateway = identity.gateway(&[("server.header_timeout", "1s")]).await;
    assert!(is_shown(&gateway, &certificate).await);
    let mut stream = handshake(&gateway, &identity, &rustls::version::TLS13).await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok() && rest.is_empty());
}

#[tokio::test]
async fn a_dripping_head_over_tls_is_closed() {
    let (identity, _) = Identity::new();
    let gateway = identity.gateway(&[("server.header_timeout", "1s")]).await;
    let mut stream = handshake(&gateway, &identity, &rustls::version::TLS13).await;
    let began = Instant::now();
    let dripping = async {
        while stream.write_all(b"G").await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(6), dripping)
            .await
            .is_ok(),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_excess_tls_connection_is_closed_at_once() {
    let (identity, certificate) = Identity::new();
    let gateway = identity.gateway(&[("server.max_connections", "1")]).await;
    let kept = trusting_over_http1(&certificate);
    let url = format!("https://{}/v1/assets/none", gateway.addr);
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 404);
    assert!(!is_shown(&gateway, &certificate).await);
    assert_eq!(kept.get(&url).send().await.unwrap().status(), 404);
    gateway.stop();
    assert_eq!(gateway.ending().await.cut, 0);
}

#[tokio::test]
async fn serve_names_the_file_that_it_cant_use() {
    let (identity, _) = Identity::new();
    let (other, _) = Identity::new();
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    for (cert, key, named) in [
        (
            "/no/such".to_owned(),
            identity.path("key"),
            "server.tls_cert: /no/such: ",
        ),
        (
            identity.path("cert"),
            identity.path("cert"),
            "server.tls_key: ",
        ),
        (identity.path("cert"), other.path("key"), "server.tls_key: "),
    ] {
        let mut variables = settings(&sandbox);
        variables.extend(owned(&[
            ("SERVER__TLS_CERT", &cert),
            ("SERVER__TLS_KEY", &key),
        ]));
        let (output, _, err) = run(&["serve"], &variables);
        assert_eq!(output.status.code(), Some(1));
        assert!(err.lines().any(|line| line.starts_with(named)), "{err}");
    }
}

/// Takes TLS off in front of `behind`, as a load balancer does.
pub(crate) async fn terminate(identity: &Identity, behind: SocketAddr) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(identity.path("cert")).unwrap();
    let key = PrivateKeyDer::from_pem_file(identity.path("key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (acceptor, listener) = (
        TlsAcceptor::from(Arc::new(config)),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut clear) = acceptor.accept(socket).await else {
                    return;
                };
                let _ended =
                    copy_bidirectional(&mut clear, &mut TcpStream::connect(behind).await.unwrap())
                        .await;
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn egain_is_called_only_with_a_trusted_certificate() {
    let sandbox = Sandbox::start(SandboxConfig::default()).unwrap();
    let ((egains, _), (strangers, _)) = (Identity::new(), Identity::new());
    let front = terminate(&egains, sandbox.addr()).await;
    for (trusted, status) in [(&strangers, 503), (&egains, 201)] {
        let mut variables = settings(&sandbox);
        for (key, url) in [
            ("EGAIN__BASE_URL", sandbox.base_url()),
            ("EGAIN__TOKEN_URL", sandbox.token_url()),
        ] {
            variables.push((key.to_owned(), format!("https://{front}{}", url.path())));
        }
        let mut serve = program(&["serve"], &variables);
        serve.env("SSL_CERT_FILE", trusted.path("cert"));
        let gateway = Running::start(serve);
        let (addr, _) = gateway.listens().await;
        let url = format!("http://{addr}/v1/assets?channel=sms&name=a.bin");
        let answer = Client::with(|builder| builder)
            .post(url)
            .body(noise(1000, 1))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(sandbox.assets().len(), usize::from(status == 201));
    }
}
