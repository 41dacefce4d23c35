use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::body::multipart::disposition::PartDisposition;

const HEAD: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";

fn bound() -> Boundary {
    Boundary::from_content_type("multipart/form-data; boundary=bound").unwrap()
}

/// What was read: events with the offset behind each, neighbouring data joined, and how it ended.
#[derive(Debug, PartialEq)]
struct Account {
    events: Vec<(FormEvent, u64)>,
    end: Result<(), String>,
}

impl Account {
    fn data(&self) -> Vec<u8> {
        let pieces = self.events.iter().filter_map(|(event, _)| match event {
            FormEvent::Data(data) => Some(&data[..]),
            _ => None,
        });
        pieces.collect::<Vec<_>>().concat()
    }

    fn offset(&self, wanted: impl Fn(&FormEvent) -> bool) -> u64 {
        self.events
            .iter()
            .rfind(|(event, _)| wanted(event))
            .unwrap()
            .1
    }

    fn file_start(&self) -> u64 {
        self.offset(|event| matches!(event, FormEvent::Part(_)))
    }

    fn file_end(&self) -> u64 {
        self.offset(|event| *event == FormEvent::PartEnd)
    }

    fn tell(&mut self, event: FormEvent, consumed: u64) {
        match (self.events.last_mut(), event) {
            (Some((FormEvent::Data(before), offset)), FormEvent::Data(data)) => {
                *before = [&before[..], &data].concat().into();
                *offset = consumed;
            }
            (_, event) => self.events.push((event, consumed)),
        }
    }
}

fn read_with(parser: &mut FormParser, chunks: &[&[u8]]) -> Account {
    let mut account = Account {
        events: Vec::new(),
        end: Ok(()),
    };
    account.end = (|| {
        for chunk in chunks {
            parser.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = parser.next_event()? {
                account.tell(event, parser.consumed());
            }
            assert!(
                parser.waiting.is_empty()
                    && parser.chunk.is_empty()
                    && parser.held.len() < HEAD_LIMIT
            );
        }
        parser.finish()
    })()
    .map_err(|error: Error| error.detail().to_owned());
    account
}

fn read(chunks: &[&[u8]]) -> Account {
    read_with(&mut FormParser::new(&bound()), chunks)
}

fn read_whole(body: impl AsRef<[u8]>) -> Account {
    read(&[body.as_ref()])
}

/// A form with one file, as nearly all clients send it.
fn form(file: &[u8]) -> Vec<u8> {
    [b"--bound\r\n", HEAD.as_bytes(), file, b"\r\n--bound--\r\n"].concat()
}

#[test]
fn fields_and_files_come_in_order_with_their_offsets() {
    let body = "--bound\r\n\
        Content-Disposition: form-data; name=\"channel\"\r\n\r\nchat\r\n\
        --bound\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n\
        --bound\r\n\
        Content-Disposition: form-data; name=\"late\"\r\n\r\n\r\n--bound--\r\n";
    let field = |name: &str, file_name: Option<&str>| {
        FormEvent::Part(PartHead {
            name: Some(name.into()),
            file_name: file_name.map(Into::into),
            ..PartHead::default()
        })
    };
    let after = |text: &str| (body.find(text).unwrap() + text.len()) as u64;
    let expected = vec![
        (field("channel", None), after("\"channel\"\r\n\r\n")),
        (FormEvent::Data("chat".into()), after("chat")),
        (FormEvent::PartEnd, after("chat")),
        (field("file", Some("a.txt")), after("\"a.txt\"\r\n\r\n")),
        (FormEvent::Data("hello".into()), after("hello")),
        (FormEvent::PartEnd, after("hello")),
        (field("late", None), after("\"late\"\r\n\r\n")),
        (FormEvent::PartEnd, after("\"late\"\r\n\r\n")),
        (FormEvent::End, after("--bound--")),
    ];
    assert_eq!(
        read_whole(body),
        Account {
            events: expected,
            end: Ok(())
        }
    );
}

#[test]
fn data_is_the_pushed_bytes_themselves() {
    let chunk = Bytes::from(form(&[b'x'; 1000]));
    let mut parser = FormParser::new(&bound());
    parser.push(chunk.clone());
    parser.next_event().unwrap();
    let Some(FormEvent::Data(data)) = parser.next_event().unwrap() else {
        panic!("data follows the head")
    };
    assert_eq!(data.len(), 1000);
    assert_eq!(
        data.as_ptr(),
        chunk[parser.consumed() as usize - 1000..].as_ptr()
    );
}

#[test]
fn chunks_may_be_pushed_before_the_last_is_read() {
    let mut parser = FormParser::new(&bound());
    form(b"abc")
        .chunks(2)
        .for_each(|chunk| parser.push(Bytes::copy_from_slice(chunk)));
    assert_eq!(read_with(&mut parser, &[b""]), read_whole(form(b"abc")));
}

#[test]
fn a_preamble_is_counted_and_ignored() {
    let longest = "y".repeat(PREAMBLE_LIMIT);
    for preamble in [
        "",
        "\r\n",
        "\r\n\r\n",
        "This is a multi-part message in MIME format.\r\n",
        "--other\r\n",
        "\r\n--boun\r\n",
        "x\n--\r\n",
        &format!("{}\r\n", &longest),
    ] {
        let body = [preamble.as_bytes(), &form(b"abc")[..]].concat();
        let account = read_whole(&body);
        assert_eq!(
            (account.data(), &account.end),
            (b"abc".to_vec(), &Ok(())),
            "{preamble:?}"
        );
        assert_eq!(
            account.file_start(),
            (preamble.len() + b"--bound\r\n".len() + HEAD.len()) as u64
        );
        assert_eq!(read(&body.chunks(1).collect::<Vec<_>>()), account);
    }
    for endless in [format!("{longest}y\r\n"), "\r\n--boun".repeat(1000)] {
        assert!(
            read_whole([endless.as_bytes(), &form(b"abc")].concat())
                .end
                .unwrap_err()
                .contains("doesn't begin")
        );
    }
}

#[test]
fn a_boundary_inside_a_line_begins_no_part() {
    for before in [
        "x",
        "\n",
        "\r",
        " ",
        "--",
        "preamble",
        "preamble\n",
        "--bound\r",
        "--bound x\r\n",
    ] {
        let body = [before.as_bytes(), &form(b"abc")].concat();
        assert!(
            read_whole(&body).end.unwrap_err().contains("doesn't begin"),
            "{before:?}"
        );
    }
    assert!(
        read_whole("no form at all")
            .end
            .unwrap_err()
            .contains("doesn't begin")
    );
}

#[test]
fn bare_line_feeds_are_named_in_the_error() {
    let lines = String::from_utf8(form(b"abc")).unwrap();
    let head_only = lines.replace(HEAD, &HEAD.replace("\r\n", "\n"));
    for body in [
        lines.replace("\r\n", "\n"),
        format!("\r\n{}", lines.replace("\r\n", "\n")),
        head_only.clone() + &"x".repeat(HEAD_LIMIT),
    ] {
        assert!(
            read_whole(&body)
                .end
                .unwrap_err()
                .contains("bare line feeds"),
            "{body:?}"
        );
        let bytes: Vec<_> = body.as_bytes().chunks(1).collect();
        assert!(read(&bytes).end.unwrap_err().contains("bare line feeds"));
    }
}

#[test]
fn a_form_without_parts_or_part_bodies_is_valid() {
    assert_eq!(read_whole("--bound--\r\n").events, [(FormEvent::End, 9)]);
    let bare = read_whole("--bound\r\n\r\n--bound--");
    assert_eq!(
        bare.events,
        [
            (FormEvent::Part(PartHead::default()), 11),
            (FormEvent::PartEnd, 11),
            (FormEvent::End, 20)
        ]
    );
}

#[test]
fn padding_after_a_boundary_belongs_to_the_delimiter() {
    let padding = " \t".repeat(128);
    let body = format!("--bound{padding}\r\n{HEAD}abc\r\n--bound \r\n\r\nx\r\n--bound-- \t\r\n");
    let account = read_whole(&body);
    assert_eq!((account.data(), account.end), (b"abcx".to_vec(), Ok(())));
    assert!(
        read_whole(format!("--bound\r\n{HEAD}abc\r\n--bound{padding} \r\n"))
            .end
            .unwrap_err()
            .contains("256")
    );
}

// Pitfalls that others fell into.

/// How a form ended behind its first part, which is the file.
fn ending(parser: &FormParser, account: &Account) -> FormEnding {
    let file_end = account
        .events
        .iter()
        .find(|(event, _)| *event == FormEvent::PartEnd)
        .unwrap()
        .1;
    parser.ending(1, file_end).unwrap()
}

#[test]
fn a_constant_ending_gives_the_next_files_size() {
    let field = "\r\nContent-Disposition: form-data; name=\"go\"\r\n\r\nSend\r\n--bound--\r\n";
    for end in [
        "--\r\n",
        "--",
        "--\n",
        "-- \r\n",
        "--  ",
        "--\r\n\r\n",
        "--\r\nx",
        field,
    ] {
        let body = |boundary: &str, file: &str| {
            let end = end.replace("bound", boundary);
            format!("--{boundary}\r\n{HEAD}{file}\r\n--{boundary}{end}")
        };
        let mut parser = FormParser::new(&bound());
        let first = body("bound", "abc");
        let account = read_with(&mut parser, &[first.as_bytes()]);
        assert_eq!(account.end, Ok(()), "{end:?} is well-formed");
        assert_eq!(parser.consumed(), first.len() as u64);
        let ending = ending(&parser, &account);
        for (boundary, file) in [
            ("bound", "abc"),
            ("bound", "abcdef"),
            ("another-bound", "a"),
        ] {
            let start = format!("--{boundary}\r\n{HEAD}").len() as u64;
            let named =
                Boundary::from_content_type(&format!("multipart/form-data; boundary={boundary}"))
                    .unwrap();
            let size = ending.file_size(body(boundary, file).len() as u64, start, &named);
            assert_eq!(size, Some(file.len() as u64), "{end:?} {boundary}");
        }
    }
}

#[test]
fn forms_that_end_otherwise_have_other_endings() {
    let of = |end: &str| {
        let mut parser = FormParser::new(&bound());
        let account = read_with(
            &mut parser,
            &[format!("--bound\r\n{HEAD}abc\r\n--bound{end}").as_bytes()],
        );
        ending(&parser, &account)
    };
    let usual = of("--\r\n");
    assert_eq!(usual, of("--\r\n"));
    for other in ["--", "--\r\nx", "\r\n\r\n\r\n--bound--\r\n"] {
        assert_ne!(usual, of(other), "{other:?}");
    }
}

#[test]
fn a_missing_last_boundary_is_an_error() {
    let body = form(b"abc");
    for end in 0..body.len() - b"\r\n".len() {
        assert!(
            read_whole(&body[..end])
                .end
                .unwrap_err()
                .contains("closing boundary"),
            "cut at {end}"
        );
    }
}

#[test]
fn text_on_the_closing_line_is_refused() {
    for line in ["x", " x", "-", "\0"] {
        assert!(
            read_whole(format!("--bound\r\n{HEAD}abc\r\n--bound--{line}\r\n"))
                .end
                .is_err(),
            "{line:?}"
        );
    }
}

#[test]
fn an_epilogue_in_any_pieces_is_counted_and_ignored() {
    let body = [&form(b"abc")[..], b"--bound\r\nnot a part\r\n--bound--\r\n"].concat();
    let mut parser = FormParser::new(&bound());
    let chunks: Vec<_> = body.chunks(1).collect();
    let account = read_with(&mut parser, &chunks);
    assert_eq!((account.data(), account.end), (b"abc".to_vec(), Ok(())));
    assert_eq!(parser.consumed(), body.len() as u64);
}

#[test]
fn an_empty_file_has_neither_data_nor_derived_size() {
    let body = form(b"");
    let account = read_whole(&body);
    assert_eq!(
        (account.data(), account.file_start()),
        (vec![], account.file_end())
    );
    let usual = FormEnding::of(13, 1, 5).unwrap();
    assert_eq!(
        usual.file_size(body.len() as u64, account.file_start(), &bound()),
        None
    );
}

#[test]
fn a_head_ends_within_its_limit() {
    let head = |size: usize| format!("X: {}\r\n\r\n", "x".repeat(size - 7));
    let body = |size| format!("--bound\r\n{}abc\r\n--bound--\r\n", head(size));
    assert_eq!(read_whole(body(HEAD_LIMIT)).data(), b"abc");
    assert!(
        read_whole(body(HEAD_LIMIT + 1))
            .end
            .unwrap_err()
            .contains("16 KiB")
    );
}

#[test]
fn a_form_has_at_most_1000_parts() {
    let body = |parts: usize| format!("{}--bound--\r\n", "--bound\r\n\r\n\r\n".repeat(parts));
    assert_eq!(read_whole(body(PARTS_LIMIT)).end, Ok(()));
    assert!(
        read_whole(body(PARTS_LIMIT + 1))
            .end
            .unwrap_err()
            .contains("1000")
    );
}

#[test]
fn a_broken_form_stays_broken() {
    let mut parser = FormParser::new(&bound());
    parser.push("garbage".into());
    parser.push(form(b"abc").into());
    let first = parser.next_event().unwrap_err();
    assert_eq!(parser.next_event().unwrap_err().detail(), first.detail());
    assert_eq!(parser.finish().unwrap_err().detail(), first.detail());
}

/// Bytes that are nearly delimiters, and sometimes are.
fn near_delimiters() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "\r\n--bound",
        "\r\n--boun",
        "--bound",
        "--",
        "\r\n",
        "\r",
        "\n",
        "-",
        " ",
        "b",
        "o",
        "u",
        "n",
        "d",
        HEAD,
    ];
    vec(select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Any bytes that don't end themselves as a part's data. Told by another way than the parser's.
fn files() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![near_delimiters(), vec(any::<u8>(), 0..200)].prop_filter("ends itself", |file| {
        let lines = [b"\r\n", &file[..], b"\r\n--bound--\r\n"].concat();
        (0..file.len() + 2).all(|at| !is_delimiter(&lines[at..]))
    })
}

fn is_delimiter(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"\r\n--bound") else {
        return false;
    };
    let padding = rest
        .iter()
        .take_while(|&byte| b" \t".contains(byte))
        .count();
    rest.starts_with(b"--") || rest[padding..].starts_with(b"\r\n")
}

/// Cuts `body` at every index; equal ones make empty chunks.
fn cut<'b>(body: &'b [u8], cuts: &[Index]) -> Vec<&'b [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(body.len());
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts
        .zip(&ends)
        .map(|(start, &end)| &body[start..end])
        .collect()
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_file_arrives_whole_and_its_size_is_derivable(file in files(), crlf: bool, cuts in cuts()) {
        let body = [if crlf { &b"\r\n"[..] } else { b"" }, &form(&file)].concat();
        let mut parser = FormParser::new(&bound());
        let account = read_with(&mut parser, &cut(&body, &cuts));
        let file_start = if crlf { 2 } else { 0 } + (b"--bound\r\n".len() + HEAD.len()) as u64;
        prop_assert_eq!(account.data(), &file[..]);
        prop_assert_eq!(account.file_start(), file_start);
        prop_assert_eq!(account.file_end(), file_start + file.len() as u64);
        let size = Some(file.len() as u64).filter(|&size| size > 0);
        let ending = parser.ending(1, account.file_end()).unwrap();
        prop_assert_eq!(ending.file_size(body.len() as u64, file_start, &bound()), size);
        prop_assert_eq!(parser.consumed(), body.len() as u64);
    }

    #[test]
    fn cuts_change_nothing(
        body in near_delimiters(),
        start in select(vec!["", "--bound\r\n\r\n"]),
        cuts in cuts(),
    ) {
        let body = [start.as_bytes(), &body].concat();
        let whole = read_whole(&body);
        prop_assert_eq!(&read(&cut(&body, &cuts)), &whole);
        let bytes: Vec<_> = body.chunks(1).collect();
        prop_assert_eq!(&read(&bytes), &whole);
    }

    #[test]
    fn garbage_is_refused_without_a_panic(
        garbage in vec(any::<u8>(), 0..300),
        boundary in "[a-z]{1,2}",
        cuts in cuts(),
    ) {
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let boundary = Boundary::from_content_type(&content_type).unwrap();
        let mut parser = FormParser::new(&boundary);
        let _ = read_with(&mut parser, &cut(&garbage, &cuts));
        prop_assert!(parser.consumed() <= garbage.len() as u64);
    }

    #[test]
    fn a_garbled_head_never_panics(
        head in vec(any::<u8>(), 0..200),
        lines in "(Content-Disposition: [ -~]{0,60}\r\n){0,3}",
    ) {
        let _ = read_whole([b"--bound\r\n", lines.as_bytes(), &head, b"\r\n\r\n"].concat());
        let _ = PartDisposition::parse(&head);
        let _ = Boundary::from_content_type(&lines);
    }
}
