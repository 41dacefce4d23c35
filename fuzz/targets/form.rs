//! The form reader: how a body is cut changes nothing, nothing is counted twice, and a file's size
//! is what its form's length leaves for it.
//!
//! Input: a byte `n`, `n % 16` bytes that are lengths of pieces, then a body whose boundary is `b`.
#![no_main]

use asset_gateway::body::multipart::{Boundary, FormEvent, FormParser};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const HEAD: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
const TAIL: &[u8] = b"\r\n--b--\r\n";

/// Events with the offset behind each, neighbouring data joined, and how it ended.
type Account = (Vec<(FormEvent, u64)>, Result<(), String>);

fn boundary() -> Boundary {
    Boundary::from_content_type("multipart/form-data; boundary=b").expect("it is one")
}

/// Reads pieces of these lengths in turn; all at once where there are none.
fn read(body: &[u8], lengths: &[u8]) -> (FormParser, Account) {
    let (mut parser, mut events, mut rest) = (
        FormParser::new(&boundary()),
        Vec::<(FormEvent, u64)>::new(),
        body,
    );
    let mut lengths = lengths.iter().map(|length| usize::from(*length)).cycle();
    let mut empty = 0;
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len()).min(rest.len());
        // Pieces without a byte are allowed, but the body has to get on.
        empty = if length == 0 { empty + 1 } else { 0 };
        let (piece, behind) = rest.split_at(if empty > 16 { 1 } else { length });
        rest = behind;
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next_event() {
                Ok(None) => break,
                Ok(Some(event)) => tell(&mut events, event, parser.consumed()),
                Err(fault) => return (parser, (events, Err(fault.detail().to_owned()))),
            }
        }
    }
    let end = parser.finish().map_err(|fault| fault.detail().to_owned());
    (parser, (events, end))
}

fn tell(events: &mut Vec<(FormEvent, u64)>, event: FormEvent, consumed: u64) {
    match (events.last_mut(), event) {
        (Some((FormEvent::Data(before), offset)), FormEvent::Data(data)) => {
            *before = [&before[..], &data].concat().into();
            *offset = consumed;
        }
        (_, event) => events.push((event, consumed)),
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else {
        return;
    };
    let (lengths, body) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let (parser, whole) = read(body, &[]);
    assert_eq!(read(body, lengths).1, whole, "cuts change nothing");
    assert_eq!(read(body, &[1]).1, whole, "byte by byte, neither");
    assert!(parser.consumed() <= body.len() as u64);
    assert!(
        whole.0.iter().is_sorted_by_key(|(_, offset)| offset),
        "offsets only grow"
    );

    // The same bytes as a file, if they don't hold what could end one.
    if body.windows(5).any(|window| window == b"\r\n--b") || body.starts_with(b"--b") {
        return;
    }
    let form = [HEAD, body, TAIL].concat();
    let (parser, (events, end)) = read(&form, lengths);
    assert_eq!(end, Ok(()));
    let data: Vec<u8> = events
        .iter()
        .filter_map(|(event, _)| {
            if let FormEvent::Data(data) = event {
                Some(&data[..])
            } else {
                None
            }
        })
        .collect::<Vec<_>>()
        .concat();
    assert!(data == body, "the file is what was sent");
    let size = (!body.is_empty()).then_some(body.len() as u64);
    let ending = parser
        .ending(1, (HEAD.len() + body.len()) as u64)
        .expect("a form has an ending");
    assert_eq!(
        ending.file_size(form.len() as u64, HEAD.len() as u64, &boundary()),
        size
    );
});
