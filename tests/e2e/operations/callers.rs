//! Who may do what: the table of roles, and what a caller is bound to.

use std::time::{Duration, Instant};

use asset_gateway::sandbox::faults::SandboxOperation;
use reqwest::{Method, Response};
use serde_json::json;
use tokio::time::sleep;

use crate::support::gateway::{TestGateway, form, problem, receipt};
use crate::support::secret_canary::entry;

/// Settings with callers of every kind.
pub(crate) fn keys() -> String {
    [
        entry("reader", "role = \"reader\""),
        entry("adapter", ""),
        entry("deleter", "delete = true"),
        entry("operator", "role = \"operator\""),
        entry("bound", "channels = [\"sms\"]\nsender = \"custom_bot\""),
        entry("slow", "rate = 1.0"),
    ]
    .concat()
}

async fn gateway() -> TestGateway {
    TestGateway::builder()
        .file(&keys())
        .settings(&[("auth.mode", "keys")])
        .start()
        .await
}

async fn call(gateway: &TestGateway, method: Method, path: &str, id: &str) -> Response {
    gateway
        .client
        .request(method, gateway.url(path))
        .by(id)
        .body("hello")
        .send()
        .await
        .unwrap()
}

async fn status(gateway: &TestGateway, method: Method, path: &str, id: &str) -> u16 {
    call(gateway, method, path, id).await.status().as_u16()
}

const UPLOAD: &str = "/v1/assets?channel=sms&name=a.txt";

#[tokio::test]
async fn every_role_has_exactly_the_tables_permissions() {
    let gateway = gateway().await;
    for (key, upload, delete) in [
        ("reader", 403, 403),
        ("adapter", 201, 403),
        ("deleter", 201, 204),
        ("operator", 201, 204),
    ] {
        let stored = receipt(call(&gateway, Method::POST, UPLOAD, "operator").await).await;
        let one = format!("/v1/assets/{}", stored["id"].as_str().unwrap());
        assert_eq!(status(&gateway, Method::GET, &one, key).await, 200, "{key}");
        assert_eq!(
            status(&gateway, Method::GET, &format!("{one}/content"), key).await,
            200,
            "{key}"
        );
        for (method, path, expected) in [
            (Method::POST, UPLOAD, upload),
            (Method::DELETE, one.as_str(), delete),
        ] {
            let answer = call(&gateway, method, path, key).await;
            assert_eq!(answer.status().as_u16(), expected, "{key}");
            if expected == 403 {
                assert_eq!(
                    problem(answer).await,
                    (
                        403,
                        "forbidden".into(),
                        "caller".into(),
                        "admit".into(),
                        false
                    ),
                    "{key}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_unauthenticated_caller_costs_no_call() {
    let gateway = gateway().await;
    let none = gateway.post(UPLOAD).body("hello").send().await.unwrap();
    assert_eq!(none.headers()["www-authenticate"], "Bearer");
    let refused = (
        401,
        "unauthenticated".into(),
        "caller".into(),
        "admit".into(),
        false,
    );
    assert_eq!(problem(none).await, refused);
    assert_eq!(
        problem(call(&gateway, Method::GET, "/v1/assets/a", "wrong").await).await,
        refused
    );
    assert_eq!(
        gateway.sandbox.stats().calls(SandboxOperation::CreateAsset),
        0
    );
}

#[tokio::test]
async fn a_bound_caller_neednt_and_cant_name_anything_else() {
    let gateway = gateway().await;
    let stored =
        receipt(call(&gateway, Method::POST, "/v1/assets?name=a.txt", "bound").await).await;
    assert_eq!(
        (&stored["channel"], &stored["sender"]),
        (&json!("sms"), &json!("custom_bot"))
    );
    let other = call(
        &gateway,
        Method::POST,
        "/v1/assets?channel=whatsapp&name=a.txt",
        "bound",
    )
    .await;
    assert_eq!(
        problem(other).await,
        (
            403,
            "forbidden".into(),
            "caller".into(),
            "admit".into(),
            false
        )
    );
    let (content_type, body) = form(
        &[("channel", "sms"), ("sender", "customer")],
        "a.txt",
        b"hello",
        "",
    );
    let request = gateway
        .post("/v1/assets")
        .by("bound")
        .header("content-type", content_type)
        .body(body);
    assert_eq!(problem(request.send().await.unwrap()).await.1, "forbidden");
    assert_eq!(gateway.left_upstream(1).await, 1);
}

#[tokio::test]
async fn a_caller_above_its_rate_gets_retry_after() {
    let gateway = gateway().await;
    assert_eq!(status(&gateway, Method::POST, UPLOAD, "slow").await, 201);
    let refused = call(&gateway, Method::POST, UPLOAD, "slow").await;
    assert_eq!(refused.headers()["retry-after"], "1");
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
    assert_eq!(status(&gateway, Method::POST, UPLOAD, "adapter").await, 201);
}

#[tokio::test]
async fn a_changed_key_file_is_reloaded_unless_broken() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        entry("old", "") + &entry("both", "role = \"reader\""),
    )
    .unwrap();
    let gateway = TestGateway::builder()
        .file_at(file.path())
        .settings(&[("auth.mode", "keys")])
        .start()
        .await;
    assert_eq!(
        [
            status(&gateway, Method::POST, UPLOAD, "old").await,
            status(&gateway, Method::POST, UPLOAD, "both").await
        ],
        [201, 403]
    );
    for mistake in [
        entry("new", "colour = \"red\""),
        "[[auth.keys]".to_owned(),
        String::new(),
    ] {
        std::fs::write(file.path(), mistake).unwrap();
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(status(&gateway, Method::POST, UPLOAD, "old").await, 201);
    }
    // What else is wrong with the file, and what was set by variables, is no matter of the keys.
    let changed =
        "[egain]\nburst = 3\nrates = 5\n".to_owned() + &entry("both", "") + &entry("new", "");
    std::fs::write(file.path(), changed).unwrap();
    let began = Instant::now();
    while status(&gateway, Method::POST, UPLOAD, "new").await != 201 {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "they were never read"
        );
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        [
            status(&gateway, Method::POST, UPLOAD, "old").await,
            status(&gateway, Method::POST, UPLOAD, "both").await
        ],
        [401, 201]
    );
}

#[tokio::test]
async fn a_caller_with_two_keys_is_one_caller() {
    // The old and the new one, while all its instances change over.
    let sum = entry("rotated-in", "");
    let sum = sum.lines().find(|line| line.starts_with("sha256")).unwrap();
    let text = format!(
        "{}[[auth.keys]]\nid = \"slow\"\n{sum}\nrate = 0.01\n",
        entry("slow", "rate = 0.01")
    );
    let gateway = TestGateway::builder()
        .file(&text)
        .settings(&[("auth.mode", "keys")])
        .start()
        .await;
    assert_eq!(status(&gateway, Method::POST, UPLOAD, "slow").await, 201);
    assert_eq!(
        status(&gateway, Method::POST, UPLOAD, "rotated-in").await,
        429,
        "its rate is one"
    );
}
