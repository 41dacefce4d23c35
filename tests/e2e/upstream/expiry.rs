//! How long a signed URL is believed: until its expiry less the margin, by the upstream's own
//! clock.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::config::SandboxConfig;
use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::HeaderValue;
use http::header::{AGE, DATE};
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::Value;

use crate::downloads::metadata::max_age;
use crate::support::gateway::{TestGateway, noise};

const HOUR: Duration = Duration::from_secs(3600);

async fn stored(gateway: &TestGateway) -> String {
    let receipt = gateway.upload("a.bin", noise(10, 1)).await;
    format!("/v1/assets/{}", receipt["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_changes_nothing() {
    for minutes in [-10, 0, 10] {
        let clock_skew = SignedDuration::from_mins(minutes);
        let gateway = TestGateway::builder()
            .sandbox(SandboxConfig {
                clock_skew,
                download_life: HOUR,
                ..SandboxConfig::default()
            })
            .start()
            .await;
        let path = stored(&gateway).await;
        let left = max_age(gateway.get(&path).send().await.unwrap().headers());
        assert!(
            (3560..=3570).contains(&left),
            "{minutes} minutes off: {left} s"
        );
    }
}

#[tokio::test]
async fn the_expiry_margin_is_configurable_up_to_a_quarter() {
    for (margin, least, most) in [("0s", 3590, 3600), ("10m", 2990, 3000), ("1h", 2690, 2700)] {
        let config = SandboxConfig {
            download_life: HOUR,
            ..SandboxConfig::default()
        };
        let gateway = TestGateway::builder()
            .sandbox(config)
            .settings(&[("cache.safety_margin", margin)])
            .start()
            .await;
        let path = stored(&gateway).await;
        let left = max_age(gateway.get(&path).send().await.unwrap().headers());
        assert!((least..=most).contains(&left), "{margin}: {left} s");
    }
}

/// Also one that lives for two seconds, where the whole seconds of `Date` are half its life.
#[tokio::test]
async fn every_url_that_is_given_out_is_still_good() {
    let config = SandboxConfig {
        download_life: Duration::from_secs(2),
        ..SandboxConfig::default()
    };
    let gateway = TestGateway::builder().sandbox(config).start().await;
    let path = stored(&gateway).await;
    // Where a second is almost over, its `Date` is the most wrong.
    let into_second = Timestamp::now().subsec_millisecond() as u64;
    tokio::time::sleep(Duration::from_millis((1950 - into_second) % 1000)).await;
    let (began, mut asked) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(2500) {
        let body: Value = gateway
            .get(&path)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let direct = gateway
            .client
            .get(body["contentUrl"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(
            direct.status(),
            StatusCode::OK,
            "{:?} after the start",
            began.elapsed()
        );
        asked += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let calls = gateway.sandbox.stats().calls(SandboxOperation::GetAsset);
    assert!(
        (2..=6).contains(&calls),
        "{calls} calls for {asked} requests"
    );
}

#[tokio::test]
async fn an_unusable_expiry_serves_one_request_and_isnt_cached() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let past = (Timestamp::now() - SignedDuration::from_hours(1)).to_string();
    let odd = Fault::at(SandboxOperation::GetAsset).once();
    let faults = [
        odd.clone().field("contentUrlExpiry", past),
        odd.clone().missing_field("contentUrlExpiry"),
        odd.clone().field("contentUrlExpiry", "soon"),
        odd.field("contentUrlExpiry", Value::Null),
    ];
    for (before, fault) in faults.into_iter().enumerate() {
        gateway.sandbox.fault(fault);
        let answer = gateway.get(&path).send().await.unwrap();
        assert_eq!(
            (answer.status(), max_age(answer.headers())),
            (StatusCode::OK, 0)
        );
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::GetAsset),
            before as u64 + 1
        );
    }
}

#[tokio::test]
async fn a_distant_expiry_is_believed_for_a_week() {
    let gateway = TestGateway::start().await;
    for (expiry, fresh) in [("9999-12-31T23:59:59Z", 1), ("9999-12-31T23:59:59.999Z", 2)] {
        let path = stored(&gateway).await;
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::GetAsset)
                .field("contentUrlExpiry", expiry)
                .once(),
        );
        let answer = gateway.get(&path).send().await.unwrap();
        assert!(
            (604_760..=604_770).contains(&max_age(answer.headers())),
            "{expiry}: {:?}",
            answer.headers()
        );
        gateway.get(&path).send().await.unwrap();
        assert_eq!(
            gateway.sandbox.stats().calls(SandboxOperation::GetAsset),
            fresh
        );
    }
}

/// Signed by a JWT that says how long it is good, and by a word that says nothing.
#[tokio::test]
async fn a_wrong_clock_keeps_no_dead_url_alive() {
    for hours in [-24, 24] {
        for signed in [true, false] {
            let gateway = TestGateway::builder()
                .sandbox(SandboxConfig {
                    download_life: HOUR,
                    ..SandboxConfig::default()
                })
                .start()
                .await;
            let path = stored(&gateway).await;
            let wrong = Timestamp::now() + SignedDuration::from_hours(hours);
            let date = HeaderValue::try_from(httpdate::fmt_http_date(wrong.into())).unwrap();
            let mut fault = Fault::at(SandboxOperation::GetAsset).header(DATE, date);
            if !signed {
                fault = fault.field(
                    "contentUrl",
                    format!(
                        "http://{}/storage/x?signature=0a1b2c",
                        gateway.sandbox.addr()
                    ),
                );
            }
            gateway.sandbox.fault(fault);
            let left = max_age(gateway.get(&path).send().await.unwrap().headers());
            assert!(
                left <= 3570,
                "{hours} hours off, signed by a JWT: {signed}: {left} s"
            );
            assert!(
                left >= 3560 || !signed && hours > 0,
                "{hours} hours off, signed by a JWT: {signed}: {left} s"
            );
        }
    }
}

#[tokio::test]
async fn the_age_header_shortens_a_urls_life() {
    let gateway = TestGateway::builder()
        .sandbox(SandboxConfig {
            download_life: HOUR,
            ..SandboxConfig::default()
        })
        .start()
        .await;
    let path = stored(&gateway).await;
    let url = format!(
        "http://{}/storage/x?signature=0a1b2c",
        gateway.sandbox.addr()
    );
    gateway.sandbox.fault(
        Fault::at(SandboxOperation::GetAsset)
            .header(AGE, HeaderValue::from_static("600"))
            .field("contentUrl", url),
    );
    let left = max_age(gateway.get(&path).send().await.unwrap().headers());
    assert!((2960..=2970).contains(&left), "{left} s");
}

#[tokio::test]
async fn an_expiry_as_a_number_is_read_correctly() {
    let gateway = TestGateway::start().await;
    let path = stored(&gateway).await;
    let in_an_hour = (Timestamp::now() + HOUR).as_second();
    for expiry in [in_an_hour.to_string(), (in_an_hour * 1000).to_string()] {
        gateway.sandbox.fault(
            Fault::at(SandboxOperation::GetAsset)
                .field("contentUrlExpiry", expiry.clone())
                .once(),
        );
        let answer = gateway
            .get(&path)
            .header("cache-control", "no-cache")
            .send()
            .await
            .unwrap();
        assert!(
            (3555..=3571).contains(&max_age(answer.headers())),
            "{expiry}: {:?}",
            answer.headers()
        );
    }
}
