//! Faults on demand, from Rust and over HTTP.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::{Fault, SandboxOperation};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::customer::{Customer, SCOPE, declaration, json, refusal, text};

const SOON: Duration = Duration::from_millis(200);

async fn set(customer: &Customer, fault: Value) -> u16 {
    let url = format!("http://{}/_sandbox/faults", customer.sandbox.addr());
    customer
        .client
        .post(url)
        .json(&fault)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[tokio::test]
async fn a_fault_happens_as_often_as_requested() {
    let customer = Customer::new().await;
    let fault = Fault::at(SandboxOperation::GetAsset)
        .times(2)
        .status(StatusCode::BAD_REQUEST);
    customer
        .sandbox
        .fault(fault.body(json!({"code": "400-766"})));
    for code in ["400-766", "400-766", "404-101"] {
        assert_eq!(refusal(customer.get("1").await).await.1, code);
    }
    let stats = customer.sandbox.stats();
    assert_eq!(stats.operations[&SandboxOperation::GetAsset].faulted, 2);
    assert_eq!(stats.calls(SandboxOperation::GetAsset), 3);
    assert!(stats.faults.is_empty());
}

#[tokio::test]
async fn a_load_balancer_can_answer_in_html() {
    let customer = Customer::new().await;
    let fault = Fault::at(SandboxOperation::CreateAsset)
        .once()
        .status(StatusCode::BAD_GATEWAY)
        .body("<h1>Bad Gateway</h1>");
    customer
        .sandbox
        .fault(fault.header(header::RETRY_AFTER, HeaderValue::from_static("7")));
    let answer = customer.declare(declaration("a.txt", 1)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (502, &"7".parse().unwrap())
    );
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(answer.text().await.unwrap(), "<h1>Bad Gateway</h1>");
    assert!(customer.sandbox.assets().is_empty());
}

#[tokio::test]
async fn answers_can_lack_fields_or_lie_in_them() {
    let customer = Customer::new().await;
    customer.sandbox.fault(
        Fault::at(SandboxOperation::Token)
            .once()
            .missing_field("expires_in"),
    );
    assert!(
        json(customer.ask_token(&[("scope", SCOPE)]).await)
            .await
            .get("expires_in")
            .is_none()
    );
    let fault = Fault::at(SandboxOperation::CreateAsset)
        .once()
        .field("contentUrl", "https://elsewhere.example/1");
    customer
        .sandbox
        .fault(fault.field("contentUrlExpiry", "2022-01-27T20:04:25.498Z"));
    let answer = json(customer.declare(declaration("a.txt", 1)).await).await;
    assert_eq!(text(&answer, "contentUrl"), "https://elsewhere.example/1");
    assert_eq!(
        text(&answer, "contentUrlExpiry"),
        "2022-01-27T20:04:25.498Z"
    );
    assert_eq!(customer.sandbox.assets().len(), 1);
}

#[tokio::test]
async fn an_answer_can_be_late_or_never_come() {
    let customer = Customer::new().await;
    customer
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAsset).once().delay(SOON));
    let begun = Instant::now();
    assert_eq!(customer.get("1").await.status(), 404);
    assert!(begun.elapsed() >= SOON);
    customer
        .sandbox
        .fault(Fault::at(SandboxOperation::GetAsset).once().stall());
    assert!(tokio::time::timeout(SOON, customer.get("1")).await.is_err());
}

#[tokio::test]
async fn a_connection_can_be_closed_without_a_word() {
    let customer = Customer::new().await;
    for operation in [SandboxOperation::Upload, SandboxOperation::GetAsset] {
        customer.sandbox.fault(Fault::at(operation).close());
    }
    let request = customer
        .client
        .get(customer.api("/assets/1"))
        .bearer_auth(&customer.token);
    let error = request.send().await.unwrap_err();
    assert!(error.is_request() && !error.is_connect(), "{error:?}");
    let (_, url) = customer.create("note.txt", 5).await;
    assert!(customer.upload(&url, "hello").send().await.is_err());
    assert_eq!(
        customer.sandbox.stats().operations[&SandboxOperation::Upload]
            .answers
            .len(),
        0
    );
}

#[tokio::test]
async fn a_download_breaks_off_exactly_where_it_should() {
    let customer = Customer::new().await;
    let (_, url) = customer.store(&"0123456789".repeat(20_000)).await;
    for after in [0, 1, 100_000] {
        customer.sandbox.fault(
            Fault::at(SandboxOperation::Download)
                .once()
                .cut_after(after),
        );
        let mut answer = customer.client.get(url.clone()).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.content_length()),
            (200, Some(200_000))
        );
        let mut arrived = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            arrived += chunk.len() as u64;
        }
        assert_eq!(arrived, after);
    }
    assert_eq!(
        customer
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .len(),
        200_000
    );
}

#[tokio::test]
async fn an_upload_is_refused_early_or_cut_midway() {
    let customer = Customer::new().await;
    let content = "x".repeat(1_000_000);
    let (_, url) = customer.create("note.txt", content.len()).await;
    customer
        .sandbox
        .fault(Fault::at(SandboxOperation::Upload).once().cut_after(1));
    assert!(customer.upload(&url, &content).send().await.is_err());
    let (_, url) = customer.create("note.txt", 9).await;
    customer.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .once()
            .cut_after(0)
            .status(StatusCode::FORBIDDEN),
    );
    assert_eq!(
        customer
            .upload(&url, "too early")
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    assert!(
        customer
            .sandbox
            .assets()
            .iter()
            .all(|asset| !asset.complete)
    );
}

#[tokio::test]
async fn an_upload_fault_follows_the_body_and_spares_signatures() {
    let customer = Customer::new().await;
    let content = "x".repeat(1_000_000);
    let (_, url) = customer.create("note.txt", content.len()).await;
    customer.sandbox.fault(
        Fault::at(SandboxOperation::Upload)
            .once()
            .status(StatusCode::SERVICE_UNAVAILABLE),
    );
    assert_eq!(
        customer
            .upload(&url, &content)
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    assert_eq!(
        customer
            .upload(&url, &content)
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
}

#[tokio::test]
async fn a_download_can_lack_its_validator() {
    let customer = Customer::new().await;
    let (_, url) = customer.store("hello").await;
    customer
        .sandbox
        .fault(Fault::at(SandboxOperation::Download).once().no_etag());
    assert!(
        customer
            .client
            .get(url.clone())
            .send()
            .await
            .unwrap()
            .headers()
            .get("etag")
            .is_none()
    );
    assert!(
        customer
            .client
            .get(url)
            .send()
            .await
            .unwrap()
            .headers()
            .get("etag")
            .is_some()
    );
}

#[tokio::test]
async fn faults_and_counts_are_at_hand_over_http() {
    let customer = Customer::new().await;
    let root = format!("http://{}/_sandbox", customer.sandbox.addr());
    assert_eq!(
        set(
            &customer,
            json!({"at": "get_asset", "times": 1, "status": 500})
        )
        .await,
        204
    );
    assert_eq!(
        set(
            &customer,
            json!([{"at": "upload", "close": true}, {"at": "token", "delay": "1s"}])
        )
        .await,
        204
    );
    assert_eq!(
        set(&customer, json!({"at": "get_asset", "sttaus": 500})).await,
        400
    );
    assert_eq!(customer.get("1").await.status(), 500);
    let (id, _) = customer.create("note.txt", 5).await;
    let stats = json(
        customer
            .client
            .get(format!("{root}/stats"))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        stats["operations"]["get_asset"],
        json!({"calls": 1, "faulted": 1, "most_at_once": 1, "answers": {"500": 1}})
    );
    assert_eq!(
        stats["faults"],
        json!([{"at": "upload", "close": true}, {"at": "token", "delay": "1s"}])
    );
    let asset = json!({
        "id": id,
        "name": "note.txt",
        "size": 5,
        "content_type": "text/plain",
        "channel": "sms",
        "sender": "customer",
        "complete": false,
        "received": 0,
    });
    assert_eq!(stats["assets"], json!([asset]));
    assert_eq!(
        customer
            .client
            .post(format!("{root}/reset"))
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    let stats = customer.sandbox.stats();
    assert!(
        stats.faults.is_empty()
            && stats.assets.is_empty()
            && stats.calls(SandboxOperation::GetAsset) == 0
    );
    assert_eq!(customer.get("1").await.status(), 404);
}
