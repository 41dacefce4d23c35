use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::super::AccessTokens;
use super::super::schedule::RefusalPace;
use super::super::state::TokenState;
use super::*;
use crate::telemetry::metrics::ServiceMetrics;

/// An identity provider of which a test says how it answers, and how long that takes.
#[derive(Clone)]
struct Provider(Arc<Mutex<Script>>);

struct Script {
    lifetime: TokenLifetime,
    down: bool,
    takes: Duration,
    /// When each sign-in began, in seconds, and with which secret.
    began: Vec<(f64, String)>,
    born: Instant,
}

impl TokenSource for Provider {
    async fn grant(&self, credentials: &ClientCredentials) -> Result<TokenGrant, Error> {
        let (takes, number) = {
            let mut script = self.0.lock();
            let ClientCredentials::Client { secret, .. } = credentials else {
                unreachable!()
            };
            let began = script.born.elapsed().as_secs_f64();
            script
                .began
                .push((began, secret.expose_secret().to_owned()));
            (script.takes, script.began.len())
        };
        sleep(takes).await;
        let script = self.0.lock();
        if script.down {
            let said = crate::types::error::UpstreamResponse {
                status: Some(401),
                code: Some("quoted".into()),
                ..Default::default()
            };
            return Err(
                Error::gateway(ErrorCode::UpstreamError, Stage::Sign, "refused")
                    .with_upstream(said),
            );
        }
        let header = HeaderValue::from_static("Bearer x");
        Ok(TokenGrant {
            value: format!("token-{number}").into(),
            header,
            lifetime: script.lifetime,
        })
    }
}

impl Provider {
    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.lock());
    }

    fn times(&self) -> Vec<f64> {
        self.0
            .lock()
            .began
            .iter()
            .map(|(began, _)| *began)
            .collect()
    }
}

struct Scene {
    provider: Provider,
    tokens: AccessTokens,
    metrics: ServiceMetrics,
    keeping: JoinHandle<()>,
}

fn scene(change: impl FnOnce(&mut Script)) -> Scene {
    let script = Script {
        lifetime: TokenLifetime::Stated(Duration::from_secs(3600)),
        down: false,
        takes: Duration::from_millis(10),
        began: Vec::new(),
        born: Instant::now(),
    };
    let provider = Provider(Arc::new(Mutex::new(script)));
    provider.set(change);
    let credentials = ClientCredentials::Client {
        token_url: "http://localhost/token".parse().unwrap(),
        id: "id".into(),
        secret: "first".into(),
        scope: "scope".into(),
    };
    let metrics = ServiceMetrics::new();
    let shared = Arc::new(SharedToken {
        state: watch::Sender::new(TokenState {
            awaited: true,
            refusals: RefusalPace::default(),
            ..TokenState::default()
        }),
        credentials: watch::Sender::new(credentials),
        refused: tokio::sync::Notify::new(),
        expiry: metrics.token_expiry.clone(),
    });
    let keeping = tokio::spawn(TokenKeeper::new(shared.clone(), provider.clone()).run());
    Scene {
        provider,
        tokens: AccessTokens(shared),
        metrics,
        keeping,
    }
}

async fn get(tokens: &AccessTokens) -> Result<String, Error> {
    tokens
        .get(Stage::Sign)
        .await
        .map(|token| token.expose().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_outlives_its_waiting_callers() {
    let scene = scene(|script| script.takes = Duration::from_secs(3));
    for _ in 0..2 {
        assert!(
            timeout(Duration::from_secs(1), scene.tokens.get(Stage::Sign))
                .await
                .is_err()
        );
    }
    let (one, other) = tokio::join!(get(&scene.tokens), get(&scene.tokens));
    assert_eq!(
        (one.unwrap().as_str(), other.unwrap().as_str()),
        ("token-1", "token-1")
    );
    assert_eq!(scene.provider.times().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_tried_with_growing_pauses() {
    let scene = scene(|script| script.down = true);
    let end = Instant::now() + Duration::from_secs(200);
    while Instant::now() < end {
        let error = get(&scene.tokens).await.unwrap_err();
        assert_eq!(
            error.upstream().unwrap().code,
            None,
            "callers never hear a sign-in's own words"
        );
        sleep(Duration::from_millis(100)).await;
    }
    let times: Vec<u64> = scene
        .provider
        .times()
        .iter()
        .map(|time| *time as u64)
        .collect();
    assert_eq!(times, [0, 5, 15, 35, 75, 135, 195]);
    scene.provider.set(|script| script.down = false);
    sleep(Duration::from_secs(61)).await;
    assert!(
        get(&scene.tokens).await.is_ok(),
        "it comes back without anybody's help"
    );
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_are_between_sign_ins_whatever_the_lifetime() {
    for life in [
        TokenLifetime::Stated(Duration::ZERO),
        TokenLifetime::Stated(Duration::from_secs(1)),
        TokenLifetime::Unknown,
        TokenLifetime::Stated(Duration::MAX),
    ] {
        let scene = scene(|script| script.lifetime = life);
        sleep(Duration::from_secs(30 * 3600)).await;
        let times = scene.provider.times();
        assert!(
            times.windows(2).all(|pair| pair[1] - pair[0] >= 10.0),
            "{life:?}"
        );
        assert!(
            times.len() >= 2,
            "{life:?}: no token is believed for longer than a day"
        );
        assert!(get(&scene.tokens).await.is_ok());
        scene.keeping.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_after_ten_seconds() {
    let scene = scene(|_| ());
    let young = scene.tokens.get(Stage::Sign).await.unwrap();
    assert!(
        !scene.tokens.refused(&young),
        "the refusal is the call's own"
    );
    assert_eq!(get(&scene.tokens).await.unwrap(), "token-1");
    sleep(Duration::from_secs(10)).await;
    assert!(
        scene.tokens.refused(&young) && scene.tokens.refused(&young),
        "all who were refused together get the next one"
    );
    assert_eq!(scene.metrics.token_expiry.get(), 0.0);
    assert_eq!(get(&scene.tokens).await.unwrap(), "token-2");
    assert!(
        scene.tokens.refused(&young),
        "and so do those that come late"
    );
    assert_eq!(scene.provider.times().len(), 2);
    assert!(scene.metrics.token_expiry.get() > 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_always_refused_asset_costs_other_callers_no_token() {
    let scene = scene(|_| ());
    for _ in 0..6000 {
        let token = scene.tokens.get(Stage::Sign).await.unwrap();
        if scene.tokens.refused(&token) {
            let second = scene.tokens.get(Stage::Sign).await.unwrap();
            assert!(!scene.tokens.refused(&second));
        }
        sleep(Duration::from_millis(100)).await;
    }
    let sign_ins = scene.provider.times().len();
    assert!((8..=14).contains(&sign_ins), "{sign_ins} in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_token_stays_in_use_where_replacing_it_fails() {
    let scene = scene(|_| ());
    let token = scene.tokens.get(Stage::Sign).await.unwrap();
    sleep(Duration::from_secs(11)).await;
    scene.provider.set(|script| script.down = true);
    assert!(scene.tokens.refused(&token));
    assert_eq!(get(&scene.tokens).await.unwrap(), "token-1");
    assert!(
        !scene.tokens.refused(&token),
        "only the first refusal hurries"
    );
    scene.provider.set(|script| script.down = false);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(get(&scene.tokens).await.unwrap(), "token-3");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_none_and_has_no_expiry() {
    let scene = scene(|script| script.lifetime = TokenLifetime::Stated(Duration::from_secs(20)));
    assert!(get(&scene.tokens).await.is_ok());
    scene.provider.set(|script| script.down = true);
    sleep(Duration::from_secs(60)).await;
    assert!(get(&scene.tokens).await.is_err() && !scene.tokens.has_one());
    assert_eq!(scene.metrics.token_expiry.get(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn new_credentials_are_tried_at_once() {
    let scene = scene(|script| script.down = true);
    sleep(Duration::from_secs(40)).await;
    let before = scene.provider.times().len();
    scene
        .provider
        .set(|script| (script.down, script.takes) = (false, Duration::from_secs(30)));
    assert!(scene.tokens.replace_secret(&SecretString::from("second")));
    assert!(
        !scene.tokens.replace_secret(&SecretString::from("second")),
        "that is no other one"
    );
    sleep(Duration::from_secs(1)).await;
    scene
        .provider
        .set(|script| script.takes = Duration::from_millis(10));
    assert!(scene.tokens.replace_secret(&SecretString::from("third")));
    assert_eq!(
        get(&scene.tokens).await.unwrap(),
        format!("token-{}", before + 2)
    );
    let secrets: Vec<_> = scene
        .provider
        .0
        .lock()
        .began
        .iter()
        .map(|(_, secret)| secret.clone())
        .collect();
    assert_eq!(secrets[before..], ["second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_keeper_that_is_gone() {
    let scene = scene(|script| script.takes = Duration::from_secs(1000));
    tokio::task::yield_now().await;
    scene.keeping.abort();
    let error = timeout(Duration::from_secs(1), scene.tokens.get(Stage::Delete))
        .await
        .unwrap()
        .err()
        .unwrap();
    assert_eq!(
        (error.code(), error.stage()),
        (ErrorCode::Internal, Stage::Delete)
    );
}
