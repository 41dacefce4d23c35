//! Callers with tokens: which are taken, what they allow, and where the keys to judge them come
//! from.

use std::sync::Arc;
use std::time::Duration;

use asset_gateway::sandbox::faults::SandboxOperation;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::gateway::{TestGateway, problem, receipt};

const ISSUER: &str = "https://issuer.test/";
const AUDIENCE: &str = "asset-gateway";

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs, and what the issuer shows of it.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: String,
    jwk: Value,
    public: Vec<u8>,
}

impl Signer {
    fn new(algorithm: Algorithm, kid: &str) -> Self {
        let pair = match algorithm {
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519),
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            _ => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        let pair = pair.unwrap();
        let (private, public) = (pair.serialize_der(), pair.der_bytes().to_vec());
        let (key, mut jwk) = match algorithm {
            Algorithm::EdDSA => {
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64(&public)});
                (EncodingKey::from_ed_der(&private), jwk)
            }
            Algorithm::ES256 => {
                let (x, y) = (base64(&public[1..33]), base64(&public[33..]));
                let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
                (EncodingKey::from_ec_der(&private), jwk)
            }
            // 26 bytes of PKCS #8 lie before the PKCS #1 key that is signed with; 9 of DER before
            // the modulus.
            _ => {
                let jwk = json!({"kty": "RSA", "n": base64(&public[9..265]), "e": "AQAB"});
                (EncodingKey::from_rsa_der(&private[26..]), jwk)
            }
        };
        jwk["kid"] = kid.into();
        Self {
            algorithm,
            key,
            kid: kid.into(),
            jwk,
            public,
        }
    }

    fn header(&self) -> Header {
        Header {
            kid: Some(self.kid.clone()),
            ..Header::new(self.algorithm)
        }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.key).unwrap()
    }
}

/// Good for a minute, and an operator's.
fn claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "bot-7", "exp": now() + 60, "role": "operator"})
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Shows keys, and counts how often it was asked for them.
#[derive(Clone)]
struct Issuer(Arc<Mutex<Shown>>);

struct Shown {
    url: String,
    answer: String,
    asked: usize,
}

impl Issuer {
    async fn open(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let issuer = Self(Arc::new(Mutex::new(Shown {
            url,
            answer: String::new(),
            asked: 0,
        })));
        issuer.shows(keys);
        let shown = issuer.0.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = socket.read_u8().await else {
                        break;
                    };
                    head.push(byte);
                }
                let answer = {
                    let mut shown = shown.lock();
                    shown.asked += 1;
                    shown.answer.clone()
                };
                let _already_gone = socket.write_all(answer.as_bytes()).await;
            }
        });
        issuer
    }

    fn shows(&self, keys: &[&Signer]) {
        let keys: Vec<&Value> = keys.iter().map(|signer| &signer.jwk).collect();
        self.says("200 OK", &json!({ "keys": keys }).to_string());
    }

    fn says(&self, status: &str, body: &str) {
        let length = body.len();
        self.0.lock().answer = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
    }

    fn asked(&self) -> usize {
        self.0.lock().asked
    }

    async fn gateway(&self, more: &[(&str, &str)]) -> TestGateway {
        let url = self.0.lock().url.clone();
        let given = [
            ("auth.mode", "jwt"),
            ("auth.jwt.issuer", ISSUER),
            ("auth.jwt.audience", AUDIENCE),
            ("auth.jwt.jwks_url", url.as_str()),
        ];
        TestGateway::builder()
            .settings(&[given.as_slice(), more].concat())
            .start()
            .await
    }
}

async fn call(gateway: &TestGateway, method: Method, path: &str, token: &str) -> Response {
    gateway
        .client
        .request(method, gateway.url(path))
        .bearer_auth(token)
        .body("hello")
        .send()
        .await
        .unwrap()
}

/// What an upload with this token is answered.
async fn status(gateway: &TestGateway, token: &str) -> u16 {
    call(
        gateway,
        Method::POST,
        "/v1/assets?channel=sms&name=a.txt",
        token,
    )
    .await
    .status()
    .as_u16()
}

/// Why a token is refused; nothing of it may be said.
async fn refusal(gateway: &TestGateway, token: &str) -> String {
    let answer = call(
        gateway,
        Method::POST,
        "/v1/assets?channel=sms&name=a.txt",
        token,
    )
    .await;
    assert_eq!(
        answer.headers()["www-authenticate"],
        "Bearer error=\"invalid_token\""
    );
    assert_eq!(answer.status(), 401);
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["code"], "unauthenticated");
    let detail = document["detail"].as_str().unwrap();
    for part in
        token
            .split('.')
            .filter(|part| part.len() > 8)
            .chain(["bot-7", "issuer.test", "elsewhere"])
    {
        assert!(!detail.contains(part), "{detail}");
    }
    detail
        .strip_prefix("the token isn't taken: ")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn good_tokens_of_every_algorithm_are_taken() {
    let signers = [
        ("e", Algorithm::EdDSA),
        ("s", Algorithm::ES256),
        ("r", Algorithm::RS256),
    ];
    let signers = signers.map(|(kid, algorithm)| Signer::new(algorithm, kid));
    let gateway = Issuer::open(&signers.each_ref()).await.gateway(&[]).await;
    for signer in &signers {
        assert_eq!(
            status(&gateway, &signer.sign(&claims())).await,
            201,
            "{:?}",
            signer.algorithm
        );
        let unnamed = encode(&Header::new(signer.algorithm), &claims(), &signer.key).unwrap();
        assert_eq!(
            status(&gateway, &unnamed).await,
            201,
            "{:?} is the only one",
            signer.algorithm
        );
    }
    let signer = &signers[0];
    for good in [
        but("aud", json!(["other", AUDIENCE])),
        but("nbf", json!(now() + 30)),
        but("exp", json!(now() - 30)),
    ] {
        assert_eq!(status(&gateway, &signer.sign(&good)).await, 201, "{good}");
    }
}

#[tokio::test]
async fn a_refused_token_gives_its_reason_and_isnt_quoted() {
    let signer = Signer::new(Algorithm::ES256, "s");
    let issuer = Issuer::open(&[&signer]).await;
    let gateway = issuer.gateway(&[]).await;
    for (claims, why) in [
        (but("exp", json!(now() - 90)), "it has expired"),
        (but("nbf", json!(now() + 90)), "it isn't valid yet"),
        (but("aud", json!("elsewhere")), "it is for another audience"),
        (
            but("iss", json!("https://elsewhere.test/")),
            "it is of another issuer",
        ),
        (
            but("iss", json!("https://issuer.test")),
            "it is of another issuer",
        ),
        (
            but("role", json!("king")),
            "its role is none of reader, adapter and operator",
        ),
        (
            but("channels", json!([])),
            "its channels are no list of names with at least one",
        ),
        (but("exp", json!("soon")), "it has no exp"),
        (without("exp"), "it has no exp"),
        (without("aud"), "it has no aud"),
        (without("iss"), "it has no iss"),
        (without("sub"), "it has no sub that could name the caller"),
    ] {
        assert_eq!(
            refusal(&gateway, &signer.sign(&claims)).await,
            why,
            "{claims}"
        );
    }
    let good = signer.sign(&claims());
    let (start, signature) = good.rsplit_once('.').unwrap();
    let [_, body] = start.split('.').collect::<Vec<_>>()[..] else {
        unreachable!()
    };
    let other = Signer::new(Algorithm::ES256, "s").sign(&claims());
    assert_eq!(refusal(&gateway, &other).await, "its signature is wrong");
    let changed = format!(
        "{}.{}.{signature}",
        start.split('.').next().unwrap(),
        base64(but("sub", json!("x")).to_string().as_bytes())
    );
    assert_eq!(refusal(&gateway, &changed).await, "its signature is wrong");
    let critical = Header {
        crit: Some(vec!["b64".into()]),
        ..signer.header()
    };
    assert_eq!(
        refusal(
            &gateway,
            &encode(&critical, &claims(), &signer.key).unwrap()
        )
        .await,
        "it has critical extensions"
    );
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "None", "kid": "s"}),
        json!({"kid": "s"}),
    ] {
        let header = base64(header.to_string().as_bytes());
        for unsigned in [
            format!("{header}.{body}."),
            format!("{header}.{body}.{signature}"),
        ] {
            assert_eq!(
                refusal(&gateway, &unsigned).await,
                "it is no JWT that is signed in a known way"
            );
        }
    }
    for garbage in ["a", "a.b", "....", "eyJhbGciOiJFUzI1NiJ9"] {
        assert_eq!(
            refusal(&gateway, garbage).await,
            "it is no JWT that is signed in a known way"
        );
    }
    let nothing = gateway
        .post("/v1/assets?channel=sms&name=a.txt")
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(nothing.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(nothing).await.1, "unauthenticated");
    assert_eq!(status(&gateway, &good).await, 201);
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        1
    );
    assert_eq!(
        issuer.asked(),
        1,
        "none of these is a reason to ask for keys"
    );
}

#[tokio::test]
async fn a_tokens_header_never_chooses_the_algorithm() {
    let (rsa, ec) = (
        Signer::new(Algorithm::RS256, "r"),
        Signer::new(Algorithm::ES256, "s"),
    );
    let gateway = Issuer::open(&[&rsa, &ec]).await.gateway(&[]).await;
    // The classic: a shared secret that is the public key, which everybody knows.
    for secret in [
        rsa.public.clone(),
        rsa.jwk.to_string().into_bytes(),
        rsa.jwk["n"].as_str().unwrap().into(),
    ] {
        let header = Header {
            kid: Some("r".into()),
            ..Header::new(Algorithm::HS256)
        };
        let forged = encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        assert!(
            refusal(&gateway, &forged)
                .await
                .starts_with("its algorithm is not the key's")
        );
    }
    for algorithm in [Algorithm::RS512, Algorithm::PS256] {
        let header = Header {
            kid: Some("r".into()),
            ..Header::new(algorithm)
        };
        assert!(
            refusal(&gateway, &encode(&header, &claims(), &rsa.key).unwrap())
                .await
                .starts_with("its algorithm is not")
        );
    }
    // Signed well, with another key than the one that it names.
    let header = Header {
        kid: Some("r".into()),
        ..Header::new(Algorithm::ES256)
    };
    assert!(
        refusal(&gateway, &encode(&header, &claims(), &ec.key).unwrap())
            .await
            .starts_with("its algorithm is not")
    );
    assert_eq!(status(&gateway, &rsa.sign(&claims())).await, 201);
}

#[tokio::test]
async fn claims_under_configured_names_decide_permissions() {
    let signer = Signer::new(Algorithm::EdDSA, "e");
    let names = [
        ("auth.jwt.role_claim", "https://egain.test/roles"),
        ("auth.jwt.delete_claim", "may_delete"),
    ];
    let gateway = Issuer::open(&[&signer]).await.gateway(&names).await;
    let token = |more: Value| token(&signer, &more);
    let role = |role: &str| json!({"https://egain.test/roles": [role]});
    let adapter = json!({
        "https://egain.test/roles": "adapter",
        "may_delete": true,
        "channels": ["sms"],
        "sender": "custom_bot",
    });
    let operator = token(role("operator"));
    for (token, upload, delete) in [
        (token(json!({})), 403, 403),
        (token(json!({"role": "operator", "delete": true})), 403, 403),
        (token(role("adapter")), 201, 403),
        (token(adapter.clone()), 201, 204),
        (token(role("operator")), 201, 204),
    ] {
        let stored = receipt(
            call(
                &gateway,
                Method::POST,
                "/v1/assets?channel=sms&name=a.txt",
                &operator,
            )
            .await,
        )
        .await;
        let one = format!("/v1/assets/{}", stored["id"].as_str().unwrap());
        assert_eq!(status(&gateway, &token).await, upload);
        assert_eq!(
            call(&gateway, Method::GET, &one, &token).await.status(),
            200
        );
        assert_eq!(
            call(&gateway, Method::DELETE, &one, &token).await.status(),
            delete
        );
    }
    let bound = receipt(
        call(
            &gateway,
            Method::POST,
            "/v1/assets?name=a.txt",
            &token(adapter.clone()),
        )
        .await,
    )
    .await;
    assert_eq!(
        (&bound["channel"], &bound["sender"]),
        (&json!("sms"), &json!("custom_bot"))
    );
    let other = call(
        &gateway,
        Method::POST,
        "/v1/assets?channel=whatsapp&name=a.txt",
        &token(adapter),
    )
    .await;
    assert_eq!(problem(other).await.1, "forbidden");
}

fn token(signer: &Signer, more: &Value) -> String {
    let mut claims = without("role");
    claims
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    signer.sign(&claims)
}

#[tokio::test]
async fn many_tokens_with_one_unknown_key_cost_one_fetch() {
    let (old, new) = (
        Signer::new(Algorithm::ES256, "old"),
        Signer::new(Algorithm::ES256, "new"),
    );
    let issuer = Issuer::open(&[&old]).await;
    let gateway = issuer.gateway(&[]).await;
    assert_eq!(status(&gateway, &old.sign(&claims())).await, 201);
    issuer.shows(&[&new]);
    let rotated = new.sign(&claims());
    let answers = futures_util::future::join_all((0..20).map(|_| status(&gateway, &rotated))).await;
    assert!(answers.iter().all(|status| *status == 201), "{answers:?}");
    assert_eq!(issuer.asked(), 2);
    for kid in 0..20 {
        let forged = Signer {
            kid: kid.to_string(),
            ..Signer::new(Algorithm::ES256, "")
        };
        refusal(&gateway, &forged.sign(&claims())).await;
    }
    assert_eq!(
        issuer.asked(),
        2,
        "whoever names unknown keys makes nobody ask again within seconds"
    );
    let last_word = async {
        while status(&gateway, &old.sign(&claims())).await == 201 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), last_word)
        .await
        .expect("a key that is gone for good isn't taken for long");
    assert_eq!(
        refusal(&gateway, &old.sign(&claims())).await,
        "the issuer has no key like the one that it names"
    );
}

#[tokio::test]
async fn a_key_missing_from_one_response_stays_valid() {
    let (in_use, other) = (
        Signer::new(Algorithm::ES256, "in-use"),
        Signer::new(Algorithm::ES256, "other"),
    );
    let issuer = Issuer::open(&[&in_use, &other]).await;
    let gateway = issuer.gateway(&[]).await;
    assert_eq!(status(&gateway, &in_use.sign(&claims())).await, 201);
    // An edge that is behind, asked because of a stranger.
    issuer.shows(&[&other]);
    let stranger = Signer::new(Algorithm::ES256, "nobodys");
    refusal(&gateway, &stranger.sign(&claims())).await;
    assert_eq!(
        (
            issuer.asked(),
            status(&gateway, &in_use.sign(&claims())).await
        ),
        (2, 201)
    );
    issuer.shows(&[&in_use, &other]);
    for _ in 0..35 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(status(&gateway, &in_use.sign(&claims())).await, 201);
    }
    assert_eq!(issuer.asked(), 3, "it was asked once more by itself");
}

#[tokio::test]
async fn a_failing_issuer_costs_no_known_key() {
    let (old, new) = (
        Signer::new(Algorithm::EdDSA, "old"),
        Signer::new(Algorithm::EdDSA, "new"),
    );
    for (status_line, body) in [
        ("500 Oops", "{}".to_owned()),
        (
            "302 Elsewhere\r\nlocation: http://127.0.0.1:1/",
            json!({"keys": [new.jwk]}).to_string(),
        ),
        ("200 OK", "<html>".to_owned()),
        ("200 OK", json!({"keys": []}).to_string()),
        (
            "200 OK",
            format!("{}{}", " ".repeat(300_000), json!({"keys": [new.jwk]})),
        ),
    ] {
        let issuer = Issuer::open(&[&old]).await;
        let gateway = issuer.gateway(&[]).await;
        assert_eq!(status(&gateway, &old.sign(&claims())).await, 201);
        issuer.says(status_line, &body);
        refusal(&gateway, &new.sign(&claims())).await;
        assert_eq!(issuer.asked(), 2);
        assert_eq!(
            status(&gateway, &old.sign(&claims())).await,
            201,
            "{status_line} {}",
            body.len()
        );
    }
}

#[tokio::test]
async fn without_keys_tokens_get_503_until_the_issuer_recovers() {
    let signer = Signer::new(Algorithm::EdDSA, "e");
    let issuer = Issuer::open(&[]).await;
    issuer.says("503 Later", "");
    let gateway = issuer.gateway(&[]).await;
    let refused = call(
        &gateway,
        Method::GET,
        "/v1/assets/a",
        &signer.sign(&claims()),
    )
    .await;
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(
        problem(refused).await,
        (
            503,
            "upstream-unavailable".into(),
            "gateway".into(),
            "admit".into(),
            true
        )
    );
    let ready = gateway
        .client
        .get(format!("http://{}/readyz", gateway.admin))
        .send()
        .await
        .unwrap();
    assert_eq!(ready.status(), 200);
    issuer.shows(&[&signer]);
    for _ in 0..150 {
        if status(&gateway, &signer.sign(&claims())).await == 201 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the keys were never fetched");
}

#[tokio::test]
async fn all_tokens_of_a_subject_share_one_rate() {
    let signer = Signer::new(Algorithm::ES256, "s");
    let gateway = Issuer::open(&[&signer])
        .await
        .gateway(&[("auth.jwt.rate", "0.5")])
        .await;
    assert_eq!(status(&gateway, &signer.sign(&claims())).await, 201);
    let refused = call(
        &gateway,
        Method::GET,
        "/v1/assets/a",
        &signer.sign(&but("exp", json!(now() + 1000))),
    )
    .await;
    assert_eq!(refused.headers()["retry-after"], "2");
    assert_eq!(
        problem(refused).await,
        (
            429,
            "rate-limited".into(),
            "caller".into(),
            "admit".into(),
            true
        )
    );
    assert_eq!(gateway.sandbox.stats().calls(SandboxOperation::GetAsset), 0);
    assert_eq!(
        status(&gateway, &signer.sign(&but("sub", json!("bot-8")))).await,
        201
    );
    let forged = Signer::new(Algorithm::ES256, "s").sign(&but("sub", json!("bot-9")));
    assert_eq!(status(&gateway, &forged).await, 401);
    assert_eq!(
        status(&gateway, &signer.sign(&but("sub", json!("bot-9")))).await,
        201,
        "nobody else can use it up"
    );
}
