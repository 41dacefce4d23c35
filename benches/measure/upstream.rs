//! eGain and its storage, doing as little as one can: `upstream ADDRESS [--rate BYTES] [--keep
//! FOLDER]`.
//!
//! A process of its own for `benches/compare`, so that only the proxy under test is in that one's
//! figures. It needs nothing but the standard library: rustc alone makes it in seconds.
//!
//! | request | answer |
//! |---|---|
//! | `POST /assets` | a `contentUrl` that leads back here |
//! | `GET /assets/{id}` | the same; an id is the number of bytes that its download has |
//! | `POST /storage/{anything}` | discards the body; 411 without a `Content-Length` |
//! | `GET /storage/{bytes}` | so many bytes |
//! | `GET /stats` | what came in so far |

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How much is read at once, on each connection that brings a body.
const PIECE: usize = 128 * 1024;
/// The longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;
/// So that thousands of connections don't take gigabytes of address space.
const STACK: usize = 64 * 1024;

#[derive(Default)]
struct Stats {
    signed: AtomicU64,
    looked_up: AtomicU64,
    uploads: AtomicU64,
    upload_bytes: AtomicU64,
    downloads: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
}

struct Upstream {
    stats: Stats,
    /// Bytes a second that each upload is read with; 0 for as fast as they come.
    rate: u64,
    /// Where uploads are kept, so that they can be compared with what was sent.
    keep: Option<PathBuf>,
    /// What downloads are made of.
    noise: Vec<u8>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| usage());
    let (mut rate, mut keep) = (0, None);
    while let Some(option) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| usage());
        match option.as_str() {
            "--rate" => rate = value.parse().unwrap_or_else(|_| usage()),
            "--keep" => keep = Some(PathBuf::from(value)),
            _ => usage(),
        }
    }
    let upstream = Arc::new(Upstream {
        stats: Stats::default(),
        rate,
        keep,
        noise: noise(),
    });
    let listener =
        TcpListener::bind(&address).unwrap_or_else(|error| fail(&format!("{address}: {error}")));
    for stream in listener.incoming().flatten() {
        let upstream = upstream.clone();
        let served = thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || upstream.serve(stream));
        if let Err(error) = served {
            fail(&format!("no thread for a connection: {error}"));
        }
    }
}

fn usage() -> ! {
    fail("usage: upstream ADDRESS [--rate BYTES] [--keep FOLDER]")
}

fn fail(why: &str) -> ! {
    eprintln!("upstream: {why}");
    exit(1)
}

/// The same bytes each time (xorshift).
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(1 << 20).collect()
}

impl Upstream {
    /// One request after the other, until the peer leaves.
    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut connection = Connection {
            buffer: Vec::with_capacity(LONGEST_HEAD),
        };
        while let Ok(Some(request)) = connection.head(&mut stream) {
            if self.answer(&mut stream, &mut connection, &request).is_err() {
                self.stats.cut.fetch_add(1, Relaxed);
                return;
            }
        }
    }

    fn answer(
        &self,
        stream: &mut TcpStream,
        connection: &mut Connection,
        request: &Request,
    ) -> io::Result<()> {
        let last = request.path.rsplit('/').next().unwrap_or_default();
        match (
            request.method.as_str(),
            request.path.starts_with("/storage/"),
        ) {
            ("POST" | "PUT", true) => self.store(stream, connection, request),
            ("GET", true) => self.send(stream, last.parse().map_err(io::Error::other)?),
            ("GET", false) if request.path == "/stats" => {
                respond(stream, "200 OK", &self.stats.json())
            }
            (method, _) => {
                let (id, count) = if method == "POST" {
                    ("new", &self.stats.signed)
                } else {
                    (last, &self.stats.looked_up)
                };
                connection.body(stream, request.length.unwrap_or(0), |_| Ok(()))?;
                count.fetch_add(1, Relaxed);
                respond(stream, "200 OK", &asset(request, id))
            }
        }
    }

    /// Counts only what has come whole: a body that is shorter than promised is an error.
    fn store(
        &self,
        stream: &mut TcpStream,
        connection: &mut Connection,
        request: &Request,
    ) -> io::Result<()> {
        let Some(length) = request.length else {
            self.stats.refused.fetch_add(1, Relaxed);
            respond(stream, "411 Length Required", "")?;
            return Err(io::Error::other("no length"));
        };
        let number = self.stats.uploads.load(Relaxed);
        let mut file = self
            .keep
            .as_ref()
            .map(|folder| File::create(folder.join(number.to_string())))
            .transpose()?;
        let (start, mut sum) = (Instant::now(), 0);
        connection.body(stream, length, |piece| {
            sum += piece.len() as u64;
            if self.rate > 0 {
                let due = Duration::from_secs_f64(sum as f64 / self.rate as f64);
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
            file.as_mut().map_or(Ok(()), |file| file.write_all(piece))
        })?;
        self.stats.uploads.fetch_add(1, Relaxed);
        self.stats.upload_bytes.fetch_add(sum, Relaxed);
        respond(stream, "201 Created", "")
    }

    fn send(&self, stream: &mut TcpStream, length: usize) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nETag: \"same\"\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut left = length;
        while left > 0 {
            let piece = &self.noise[..left.min(self.noise.len())];
            stream.write_all(piece)?;
            left -= piece.len();
        }
        self.stats.downloads.fetch_add(1, Relaxed);
        Ok(())
    }
}

impl Stats {
    fn json(&self) -> String {
        let all = [
            ("signed", &self.signed),
            ("looked_up", &self.looked_up),
            ("uploads", &self.uploads),
            ("upload_bytes", &self.upload_bytes),
            ("downloads", &self.downloads),
            ("refused", &self.refused),
            ("cut", &self.cut),
        ];
        let pairs: Vec<String> = all
            .iter()
            .map(|(name, count)| format!("\"{name}\":{}", count.load(Relaxed)))
            .collect();
        format!("{{{}}}", pairs.join(","))
    }
}

/// The scheme is the one that the caller used: TLS is ended in front of this.
fn asset(request: &Request, id: &str) -> String {
    let Request { scheme, host, .. } = request;
    format!(
        "{{\"id\":\"{id}\",\"name\":\"photo.jpg\",\"contentType\":\"image/jpeg\",\"size\":{},\
         \"contentUrl\":\"{scheme}://{host}/storage/{id}\",\
         \"contentUrlExpiry\":\"9999-12-31T23:59:59Z\"}}",
        id.parse().unwrap_or(1_u64),
    )
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n\
         {body}"
    );
    stream.write_all(answer.as_bytes())
}

struct Request {
    method: String,
    path: String,
    host: String,
    scheme: String,
    length: Option<u64>,
}

/// What was read and isn't used yet.
struct Connection {
    buffer: Vec<u8>,
}

impl Connection {
    /// The next request's head; `None` at a connection's end.
    fn head(&mut self, stream: &mut TcpStream) -> io::Result<Option<Request>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let request = Request::parse(&String::from_utf8_lossy(&self.buffer[..end]));
                self.buffer.drain(..end + 4);
                return request.map(Some);
            }
            if self.buffer.len() >= LONGEST_HEAD {
                return Err(io::Error::other("the head has no end"));
            }
            let filled = self.buffer.len();
            self.buffer.resize(LONGEST_HEAD, 0);
            let read = stream.read(&mut self.buffer[filled..])?;
            self.buffer.truncate(filled + read);
            if read == 0 {
                return Ok(None);
            }
        }
    }

    /// Gives exactly so many bytes away, in pieces.
    fn body(
        &mut self,
        stream: &mut TcpStream,
        length: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let here = self
            .buffer
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX));
        take(&self.buffer[..here])?;
        self.buffer.drain(..here);
        let mut left = length - here as u64;
        let mut piece = vec![0; usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
        while left > 0 {
            let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let read = stream.read(&mut piece[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            take(&piece[..read])?;
            left -= read as u64;
        }
        Ok(())
    }
}

impl Request {
    fn parse(head: &str) -> io::Result<Self> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (
            first.next().unwrap_or_default(),
            first.next().unwrap_or_default(),
        );
        let fields: HashMap<String, &str> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
            .collect();
        let field =
            |name: &str, default: &str| fields.get(name).map_or(default, |value| value).to_owned();
        Ok(Self {
            method: method.to_owned(),
            path: path.split('?').next().unwrap_or_default().to_owned(),
            host: field("host", "localhost"),
            scheme: field("x-forwarded-proto", "http"),
            length: fields
                .get("content-length")
                .map(|length| length.parse().map_err(io::Error::other))
                .transpose()?,
        })
    }
}
