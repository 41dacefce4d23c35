//! Forms that are well-formed and end otherwise than most: never a wrong byte, at worst one more try.

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::house::{House, form, noise, receipt};
use crate::refusal::Refusal;

/// Makes a form around a file: its type and its bytes.
type Ending = fn(&[u8]) -> (String, Vec<u8>);

/// Ends of a form that RFC 2046 permits and that a total length doesn't tell apart from the usual one.
const ENDINGS: [(&str, Ending); 4] = [
    ("no last CRLF", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, body[..body.len() - 2].to_vec())
    }),
    ("a part after the file", |file| {
        form(&[], "a.bin", file, "--BOUNDARY\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nbye\r\n")
    }),
    ("an epilogue", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, [&body[..], b"nobody reads this\r\n"].concat())
    }),
    ("transport padding", |file| {
        let (content_type, body) = form(&[], "a.bin", file, "");
        (content_type, [&body[..body.len() - 2], b" \t\r\n"].concat())
    }),
];

async fn send(house: &House, (content_type, body): (String, Vec<u8>)) -> Response {
    house.post("/v1/assets?channel=sms").header(CONTENT_TYPE, content_type).body(body).send().await.unwrap()
}

/// The rung, once the bytes were compared.
async fn stored(house: &House, response: Response, file: &[u8], what: &str) -> String {
    let receipt = receipt(response).await;
    assert!(house.stored(receipt["id"].as_str().unwrap()) == file, "{what}");
    receipt["lengthSource"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_framing_that_was_never_seen_succeeds_the_first_time_however_it_ends() {
    for (what, ending) in ENDINGS {
        let house = House::open().await;
        let file = noise(200_000, 1);
        for _ in 0..2 {
            assert_eq!(stored(&house, send(&house, ending(&file)).await, &file, what).await, "spooled", "{what}");
        }
        assert_eq!(house.left_upstream(2).await, 2);
    }
}

#[tokio::test]
async fn within_the_look_ahead_no_ending_matters() {
    let house = House::open().await;
    let file = noise(1000, 2);
    assert_eq!(stored(&house, send(&house, form(&[], "a.bin", &file, "")).await, &file, "usual").await, "lookahead");
    for (what, ending) in ENDINGS {
        assert_eq!(stored(&house, send(&house, ending(&file)).await, &file, what).await, "lookahead", "{what}");
    }
}

#[tokio::test]
async fn a_framing_that_ends_otherwise_than_it_used_to_is_refused_once_and_then_spooled() {
    for (what, ending) in ENDINGS {
        let house = House::open().await;
        let file = noise(200_000, 3);
        let usual = |file: &[u8]| form(&[], "a.bin", file, "");
        stored(&house, send(&house, usual(&file[..1000])).await, &file[..1000], what).await;
        assert_eq!(stored(&house, send(&house, usual(&file)).await, &file, what).await, "derived");

        let refusal = Refusal::of(send(&house, ending(&file)).await).await;
        assert_eq!(refusal.told(), (503, "framing-mispredicted", "gateway", "read"), "{what}");
        assert_eq!(refusal.retry_after, Some(1), "{what}");
        assert_eq!(house.left_upstream(2).await, 2, "{what}: nothing is kept");

        assert_eq!(stored(&house, send(&house, ending(&file)).await, &file, what).await, "spooled", "{what}");
        assert_eq!(stored(&house, send(&house, usual(&file)).await, &file, what).await, "spooled", "{what}: it was forgotten");
        assert_eq!(stored(&house, send(&house, usual(&file)).await, &file, what).await, "derived", "{what}: and learnt again");
        assert_eq!(house.left_upstream(5).await, 5);
    }
}

#[tokio::test]
async fn a_declared_size_makes_every_ending_succeed_and_stream() {
    let house = House::open().await;
    let file = noise(200_000, 4);
    let usual = send(&house, form(&[], "a.bin", &file[..1000], "")).await;
    stored(&house, usual, &file[..1000], "usual").await;
    for (what, ending) in ENDINGS {
        let (content_type, body) = ending(&file);
        let request = house.post("/v1/assets?channel=sms&size=200000").header(CONTENT_TYPE, content_type).body(body);
        assert_eq!(stored(&house, request.send().await.unwrap(), &file, what).await, "declared", "{what}");
    }
}
